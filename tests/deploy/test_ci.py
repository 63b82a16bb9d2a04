"""The entry point of CI installs Chromium meanwhile, and its tests run with or without it."""

import os
import re
import shutil
import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
TOOLS = ("bash", "cat", "chmod", "mkdir", "mv", "rm", "sleep", "tail", "timeout")
FOUND = 'printf "#!/bin/sh\\necho Chromium 150\\n" > "{bin}/chromium"; chmod +x "{bin}/chromium"'


def chromium(folder: Path, *steps: str, **settings: str) -> str:
    """Run steps of `.ci/chromium` in a folder whose `bin` are the only programs; return what they print."""
    environment = {"PATH": str(folder / "bin"), **settings}
    lines = []
    for step in steps:
        command = [str(folder / "bin" / "bash"), str(ROOT / ".ci" / "chromium"), step]
        done = subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True, timeout=60)
        assert (done.returncode, done.stderr) == (0, "")
        lines.append(done.stdout)
    return "".join(lines)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    programs = tmp_path / "bin"
    programs.mkdir()
    for name in TOOLS:
        (programs / name).symlink_to(str(shutil.which(name)))
    script(programs / "id", "echo 0")
    return tmp_path


def script(path: Path, text: str) -> None:
    path.write_text(f"#!{path.parent / 'bash'}\n{text}\n")
    path.chmod(0o755)


def test_it_is_installed_in_the_background_and_waited_for(folder: Path):
    programs = folder / "bin"
    apt = f'test "$2" = update || {{ until test -e go; do sleep 0.05; done; {FOUND.format(bin=programs)}; }}'
    script(programs / "apt-get", apt)
    assert chromium(folder, "install") == ""  # the installation goes on
    assert not (programs / "chromium").exists()
    (folder / "go").touch()
    assert chromium(folder, "wait").endswith(": Chromium 150\n")
    assert chromium(folder, "install", "wait").endswith(": it was there\n")


def test_without_it_the_log_has_the_reason(folder: Path):
    assert "apt-get and root are needed" in chromium(folder, "install", "wait")
    script(folder / "bin" / "apt-get", "echo 'E: no such host' >&2; exit 100")
    assert chromium(folder, "install", "wait").endswith(": not installed: E: no such host\n")


def test_all_steps_of_apt_have_one_limit(folder: Path):
    found = FOUND.format(bin=folder / "bin")
    script(folder / "bin" / "apt-get", f'sleep 0.6; test "$2" = update || {{ {found}; }}')
    assert chromium(folder, "install", "wait", CHROMIUM_LIMIT_S="1").endswith(": not installed within 1 s\n")
    assert not (folder / "bin" / "chromium").exists()


PYTHON = """
case "$*" in
  "-m pip config get "*) setting=${!#}; test -e "${setting##*.}" && cat "${setting##*.}" ;;
  "-m uv "*) echo "$*"; test ! -e no-uv ;;
  *) echo "$*" ;;
esac"""
"""A Python that prints what it is started with; a setting of pip is a file, and with the file `no-uv` uv fails."""


def installed(folder: Path) -> list[str]:
    """What `.ci/install` starts to install a package."""
    for name in ("tr", "xargs", "echo"):
        (folder / "bin" / name).symlink_to(str(shutil.which(name)))
    script(folder / "bin" / "python", PYTHON)
    command = [str(folder / "bin" / "bash"), str(ROOT / ".ci" / "install"), "python", "--no-deps", "rain"]
    environment = {"PATH": str(folder / "bin")}
    done = subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True, timeout=60)
    assert (done.returncode, done.stderr) == (0, "")
    return done.stdout.splitlines()


UV = "-m uv pip install --quiet --no-config --python python --compile-bytecode"


def test_uv_installs_with_pip_s_folder_of_wheels_and_mirror(folder: Path):
    (folder / "find-links").write_text("/one\n/two\n")
    (folder / "index-url").write_text("https://mirror.example/simple\n")
    _, install = installed(folder)
    assert install == f"{UV} --find-links /one,/two --default-index https://mirror.example/simple --no-deps rain"


def test_pip_installs_where_uv_fails(folder: Path):
    (folder / "no-uv").touch()
    first, *others = installed(folder)
    assert re.search(r" uv==\d", first)
    assert others == [f"{UV} --no-deps rain", "-m pip install --quiet --disable-pip-version-check --no-deps rain"]


def test_what_ci_runs_are_linters_and_tests():
    text = (ROOT / ".ci" / "run").read_text()
    assert re.search(r'\.ci/chromium install\nexec make check BEFORE_TESTS="\.ci/chromium wait"\n', text)
    planned = subprocess.run(
        ["make", "-n", "check", "BEFORE_TESTS=.ci/chromium wait"],
        cwd=ROOT,
        env={**os.environ, "MAKEFLAGS": ""},
        capture_output=True,
        text=True,
        check=True,
    ).stdout
    steps = [planned.index(step) for step in ("ruff check", "mypy", "lint-imports", ".ci/chromium wait", "-m pytest")]
    assert steps == sorted(steps)
