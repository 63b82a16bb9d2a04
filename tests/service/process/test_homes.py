"""Commands find the live store in which a service runs: an invented day and a replay have one below NOWCAST_HOME."""

from pathlib import Path

import pytest
from typer.testing import CliRunner

from core.errors import ConfigError
from core.settings import Settings
from service.alerts.rulebook import rule_book
from service.process.homes import alone_in, running_home
from service.rules import app


def test_the_home_itself_comes_before_those_below_it(tmp_path: Path):
    invented, replay = tmp_path / "invented", tmp_path / "replay" / "20180711T150000Z"
    assert running_home(tmp_path) == tmp_path
    with alone_in(invented):
        assert running_home(tmp_path) == invented
        with alone_in(replay), pytest.raises(ConfigError, match=r"expected one running service, got those in .*replay"):
            running_home(tmp_path)
        with alone_in(tmp_path):
            assert running_home(tmp_path) == tmp_path
    with alone_in(replay):
        assert running_home(tmp_path) == replay
    assert running_home(tmp_path) == tmp_path  # the files of locks stay


def test_the_rules_of_the_service_that_runs_are_listed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    home = tmp_path / "invented"
    rule_book(Settings(home=home)).create("local", {"name": "rain at home"})
    monkeypatch.setenv("NOWCAST_HOME", str(tmp_path))
    with alone_in(home):
        found = CliRunner().invoke(app, ["list"])
    assert (found.exit_code, found.stderr) == (0, f"rules of the service that runs in {home}\n")
    assert "rain at home" in found.stdout
    stopped = CliRunner().invoke(app, ["list"])
    assert stopped.stdout == ""
    assert stopped.stderr == f"no rules are stored in {tmp_path}; set NOWCAST_HOME={home} for those stored there\n"
