"""deploy/Dockerfile without Docker: its steps in a clean Debian root, which debootstrap makes and chroot enters.

Every mount is made in a mount namespace of its own and ends with the process. What differs from a build by Docker: the
base is Debian with its own Python 3.11 instead of the image `python:3.11-slim`, and packages come through this
machine's own settings of apt and pip.
"""

import configparser
import json
import os
import re
import shutil
import subprocess
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from string import Template

import pytest

from tests.environments import ROOT

SUITE = "bookworm"
PACKAGES = "python3,python3-dev,python3-venv,ca-certificates,netbase,tzdata"
MACHINE_FILES = ("/etc/resolv.conf", "/etc/hosts", "/etc/ssl/certs/ca-certificates.crt")
"""Files of this machine by which its registries are reached."""

LIMIT_S = 2400


@dataclass
class Stage:
    """One stage of the Dockerfile: its folder, and what the next step starts with."""

    folder: Path
    environment: dict[str, str] = field(
        default_factory=lambda: {"PATH": "/usr/local/bin:/usr/local/sbin:/usr/bin:/bin:/usr/sbin:/sbin"}
    )
    arguments: dict[str, str] = field(default_factory=dict)
    workdir: str = "/"
    user: str = "root"
    command: list[str] = field(default_factory=list)

    def run(self, command: Sequence[str], *, prepare: str = "") -> "subprocess.Popen[str]":
        """Start a command inside; `prepare` is shell code that runs before, outside, in the same mount namespace."""
        variables = {**machine_environment(), **self.arguments, **self.environment}
        words = [f"{name}={value}" for name, value in variables.items()]
        inside = ["chroot", f"--userspec={self.user}:", str(self.folder), "/usr/bin/env", "-i", *words]
        script = (
            f'set -e; R="{self.folder}"; mount -t proc proc "$R/proc"; mount --rbind /dev "$R/dev"; '
            f'for d in {" ".join(map(str, local_folders()))}; do mkdir -p "$R$d"; mount --bind "$d" "$R$d"; done; '
            f'{prepare} exec "$@"'
        )
        shell = ["/bin/sh", "-c", 'cd "$0" && exec "$@"', self.workdir, *command]
        return subprocess.Popen(
            ["unshare", "--mount", "--propagation", "private", "sh", "-c", script, "sh", *inside, *shell],
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )

    def output(self, command: Sequence[str]) -> str:
        """What a command prints; one that fails fails the test."""
        process = self.run(command)
        printed, _ = process.communicate(timeout=LIMIT_S)
        assert process.returncode == 0, f"{' '.join(command)}\n{printed[-6000:]}"
        return printed


def pip_settings() -> dict[str, str]:
    """What this machine's pip is configured with: find-links and index-url."""
    config = configparser.RawConfigParser()
    config.read(["/etc/xdg/pip/pip.conf", "/etc/pip.conf", Path.home() / ".config" / "pip" / "pip.conf"])
    found = {}
    for option in ("find-links", "index-url"):
        value = (
            os.environ.get(f"PIP_{option.upper().replace('-', '_')}") or config.get("global", option, fallback="") or ""
        )
        found[option] = " ".join(value.split())
    return {option: value for option, value in found.items() if value}


def local_folders() -> list[Path]:
    """The folders that pip takes packages from."""
    places = [word.removeprefix("file://") for value in pip_settings().values() for word in value.split()]
    return sorted({Path(*Path(place).parts[:3]) for place in places if place.startswith("/") and Path(place).is_dir()})


def machine_environment() -> dict[str, str]:
    """The variables by which pip and uv of this machine reach their registry; none where they need none."""
    found = pip_settings()
    ours: dict[str, str] = {}
    for option, names in {
        "find-links": ("PIP_FIND_LINKS", "UV_FIND_LINKS"),
        "index-url": ("PIP_INDEX_URL", "UV_DEFAULT_INDEX"),
    }.items():
        ours |= dict.fromkeys(names, found[option]) if option in found else {}
    return {name: value for name, value in os.environ.items() if name.startswith("SSL_")} | ours


def instructions(text: str) -> list[tuple[str, str]]:
    """The instructions of a Dockerfile, each with its words."""
    joined = re.sub(
        r"\\\n(?:\s*#.*\n)*", " ", "\n".join(line for line in text.splitlines() if not line.startswith("#"))
    )
    pairs = [line.strip().partition(" ") for line in joined.splitlines() if line.strip()]
    return [(name, words.strip()) for name, _, words in pairs]


def build(folder: Path, arguments: Mapping[str, str]) -> Stage:
    """Run every step of the Dockerfile and return the last stage."""
    base, context = base_root(), build_context(folder / "context")
    stages: dict[str, Stage] = {}
    common: dict[str, str] = {}
    stage: Stage | None = None
    for name, words in instructions((ROOT / "deploy" / "Dockerfile").read_text("utf-8")):
        if name == "FROM":
            label = words.partition(" AS ")[2] or f"stage{len(stages)}"
            stage = stages[label] = Stage(folder / label)
            subprocess.run(["cp", "--archive", "--reflink=auto", str(base), str(stage.folder)], check=True)
        elif stage is None:
            common |= _assigned(words, arguments)
        elif name == "ARG":
            stage.arguments |= _assigned(words, arguments)
        else:
            _step(stage, name, words, context, stages)
    assert stage is not None
    return stage


def _assigned(words: str, arguments: Mapping[str, str]) -> dict[str, str]:
    name, _, default = words.partition("=")
    return {name: arguments.get(name, default)}


def _step(stage: Stage, name: str, words: str, context: Path, stages: Mapping[str, Stage]) -> None:
    if name == "ENV":
        known = {**stage.arguments, **stage.environment}
        stage.environment |= {
            one: Template(value).substitute(known) for one, value in re.findall(r"(\w+)=(\S+)", words)
        }
    elif name == "RUN":
        stage.output(["/bin/sh", "-c", words])
    elif name == "COPY":
        _copy(stage, words.split(), context, stages)
    elif name == "WORKDIR":
        stage.workdir = words
        (stage.folder / words.lstrip("/")).mkdir(parents=True, exist_ok=True)
    elif name == "USER":
        stage.user = words
    elif name == "CMD":
        stage.command = json.loads(words)
    else:
        assert name in ("VOLUME", "EXPOSE"), f"expected an instruction that is known here, got {name}"


def _copy(stage: Stage, words: list[str], context: Path, stages: Mapping[str, Stage]) -> None:
    source = context
    if words[0].startswith("--from="):
        source = stages[words.pop(0).removeprefix("--from=")].folder
    *names, target = words
    place = stage.folder / (target if target.startswith("/") else f"{stage.workdir}/{target}").lstrip("/")
    for name in names:
        found = source / name.lstrip("/")
        if found.is_dir():
            shutil.copytree(found, place, symlinks=True, dirs_exist_ok=True)
        else:
            place.mkdir(parents=True, exist_ok=True)
            shutil.copy2(found, place)


def build_context(folder: Path) -> Path:
    """What Docker would see: the checkout's files less those of .dockerignore."""
    ignored = {line.strip("/") for line in (ROOT / ".dockerignore").read_text().splitlines() if "*" not in line}
    listed = subprocess.run(
        ["git", "ls-files", "-co", "--exclude-standard", "-z"], cwd=ROOT, check=True, capture_output=True
    )
    for name in listed.stdout.decode().split("\0"):
        if name and name.split("/")[0] not in ignored and (ROOT / name).is_file():
            (folder / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(ROOT / name, folder / name)
    return folder


def base_root() -> Path:
    """A Debian root with Python, made once; the test skips with a reason where none can be made."""
    if os.geteuid() != 0:
        pytest.skip("chroot needs root")
    program = shutil.which("debootstrap", path="/usr/sbin:/usr/bin:/sbin")
    if program is None:
        pytest.skip("debootstrap is not installed: `apt install debootstrap`")
    folder = ROOT / "build" / "environments" / f"debian-{SUITE}"
    if (folder / "made").exists():
        return folder
    shutil.rmtree(folder, ignore_errors=True)
    command = [program, "--variant=minbase", f"--include={PACKAGES}", SUITE, str(folder), mirror()]
    done = subprocess.run(command, capture_output=True, text=True, timeout=LIMIT_S)
    if done.returncode:
        pytest.skip(f"debootstrap made no root: exit status {done.returncode}")
    _as_this_machine(folder)
    (folder / "made").touch()
    return folder


def _as_this_machine(folder: Path) -> None:
    """Let a root reach the registries as this machine does, with `python` as in the image of Python."""
    for name in MACHINE_FILES:
        if Path(name).exists():
            (folder / name.lstrip("/")).unlink(missing_ok=True)
            shutil.copyfile(name, folder / name.lstrip("/"))
    sources = Path("/etc/apt/sources.list.d/debian.sources")
    if sources.exists():
        shutil.copy2(sources, folder / "etc/apt/sources.list.d")
        (folder / "etc/apt/sources.list").unlink(missing_ok=True)
    (folder / "usr/local/bin/python").symlink_to("/usr/bin/python3")


def mirror() -> str:
    """The address from which this machine's apt takes Debian's packages."""
    for path in (Path("/etc/apt/sources.list.d/debian.sources"), Path("/etc/apt/sources.list")):
        if path.exists() and (
            found := re.search(r"(?:URIs:|^deb(?: \[.*?\])?)\s+(https?://\S+)", path.read_text(), re.M)
        ):
            return found[1]
    pytest.skip("no Debian mirror is configured for apt")
