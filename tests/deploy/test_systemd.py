"""deploy/systemd: the units are what systemd takes, are hardened, and start commands that there are."""

import configparser
import importlib.util
import re
import shlex
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from core.settings import settings_from_environment
from service import run
from service.command import SUBCOMMANDS
from service.healthcheck import COMMANDS, ContainerPart
from tests.end_to_end.stack import ROOT
from tests.waiting import PATIENCE_S

FOLDER = ROOT / "deploy" / "systemd"
UNITS = sorted(path.name for path in FOLDER.glob("*.service"))
PARTS = ("nowcast-alerter", "nowcast-api", "nowcast-beat", "nowcast-ingest", "nowcast-worker")
BIN = "/opt/nowcast/.venv/bin"
MOST_EXPOSED = 25
"""Of 100, by `systemd-analyze security`; a service without any hardening has 96."""


def unit(name: str) -> configparser.ConfigParser:
    parser = configparser.ConfigParser(strict=False, interpolation=None, comment_prefixes=("#",))
    parser.optionxform = str  # type: ignore[assignment,method-assign]
    parser.read_string((FOLDER / name).read_text())
    return parser


def test_there_is_a_unit_for_each_part_and_the_target_wants_all():
    assert {name.removesuffix(".service") for name in UNITS} == {*PARTS, "nowcast-health@"}
    wanted = set(re.findall(r"[\w@-]+\.(?:service|timer)", (FOLDER / "nowcast.target").read_text()))
    health = {f"nowcast-health@{part}.timer" for part in ContainerPart}
    assert wanted == {f"{name}.service" for name in PARTS} | health


@pytest.mark.parametrize("name", UNITS)
def test_a_command_is_one_that_there_is(name: str):
    program, *words = shlex.split(unit(name)["Service"]["ExecStart"])
    assert Path(program).parent == Path(BIN)
    if Path(program).name == "nowcast":
        assert words[0] in {one.name for one in SUBCOMMANDS}
        return
    assert (Path(sys.executable).parent / Path(program).name).exists()
    modules = [word.partition(":")[0] for word in words if re.fullmatch(r"(service|ingest)\.[\w.:]+", word)]
    assert modules
    assert all(importlib.util.find_spec(module) for module in modules)


def test_the_health_check_finds_the_processes_of_the_units():
    for part, name in zip(ContainerPart, ("api", "ingest", "worker", "beat", "alerter"), strict=True):
        words = set(shlex.split(unit(f"nowcast-{name}.service")["Service"]["ExecStart"]))
        assert any(known <= words for known in COMMANDS[part]), part


def test_the_web_server_and_the_alerter_have_the_options_of_nowcast_run():
    api = shlex.split(unit("nowcast-api.service")["Service"]["ExecStart"])
    assert [*run.UVICORN[:4]] == [word for word in api if word in run.UVICORN[:4]]
    alerter = unit("nowcast-alerter.service")["Service"]["ExecStart"].replace("%%", "%")
    assert alerter.endswith(" ".join(run.ALERTER))


def test_the_settings_are_ones_that_there_are(monkeypatch: pytest.MonkeyPatch):
    lines = (FOLDER / "nowcast.env").read_text().splitlines()
    pairs = [line.lstrip("#").partition("=") for line in lines if re.match(r"#?NOWCAST_\w+=", line)]
    assert len(pairs) > 4
    for name, _, value in pairs:
        monkeypatch.setenv(name, value)
    settings_from_environment()


@pytest.fixture
def units(tmp_path: Path) -> Path:
    """The units with the commands of this environment, since systemd looks whether they are there."""
    if shutil.which("systemd-analyze") is None:
        pytest.skip("no systemd-analyze (Debian: systemd)")
    for path in FOLDER.iterdir():
        text = path.read_text().replace(f"{BIN}/", f"{Path(sys.executable).parent}/")
        (tmp_path / path.name).write_text(text.replace("/etc/nowcast/nowcast.env", str(tmp_path / "nowcast.env")))
    return tmp_path


def analyse(*words: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(["systemd-analyze", *words], capture_output=True, text=True, timeout=PATIENCE_S)


def test_systemd_takes_the_units(units: Path):
    names = [str(units / name) for name in UNITS if "@" not in name] + [str(units / "nowcast.target")]
    done = analyse("verify", "--man=no", "--recursive-errors=no", *names)
    own = [line for line in done.stderr.splitlines() if "nowcast" in line]
    assert (done.returncode, own) == (0, [])


@pytest.mark.parametrize("name", UNITS)
def test_a_unit_is_hardened(units: Path, name: str):
    path = units / name.replace("@", "@beat")
    if not path.exists():
        (units / name).rename(path)
    done = analyse("security", "--offline=true", f"--threshold={MOST_EXPOSED}", str(path))
    assert done.returncode == 0, done.stdout[-3000:] + done.stderr
