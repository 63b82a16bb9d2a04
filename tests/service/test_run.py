"""What `python -m service.run` decides before it starts anything."""

import os
import shutil
import subprocess
import sys
from datetime import UTC, datetime
from pathlib import Path

import pytest
import typer
from pydantic import SecretStr
from typer.testing import CliRunner

import service.run
from core.errors import ConfigError
from core.settings import Settings
from ingest.sources import SOURCES
from ingest.worker.served import INSTALLED
from service.process.homes import alone_in
from service.run import StackPlan, main, plan, process_specs
from tests.waiting import PATIENCE_S

NOW = datetime(2026, 6, 1, 12, 30, tzinfo=UTC)


def settings(tmp_path: Path, **values: object) -> Settings:
    return Settings(home=tmp_path / "home", **values)  # type: ignore[arg-type]


def test_a_watched_folder_uses_the_home_itself(tmp_path: Path):
    chosen = plan(settings(tmp_path), tmp_path, dwd=False, replay=None, now=NOW)
    assert chosen.settings.home == tmp_path / "home"
    assert chosen.environment("redis://x")["NOWCAST_SOURCE_KIND"] == "directory"
    assert [spec.name for spec in process_specs(chosen, "redis://x", None)] == [
        "api",
        "ingest",
        "worker",
        "alerts",
        "beat",
    ]
    assert process_specs(chosen, "redis://x", None)[1].command[1:] == ("-m", "ingest.run", "--source", str(tmp_path))


def test_dwd(tmp_path: Path):
    chosen = plan(settings(tmp_path), None, dwd=True, replay=None, now=NOW)
    assert process_specs(chosen, "redis://x", None)[1].command[1:] == ("-m", "ingest.run", "--dwd")
    assert chosen.environment("redis://x")["NOWCAST_SOURCE_KIND"] == "dwd"


def test_a_replay_has_a_home_of_its_own_and_is_marked_as_one(tmp_path: Path):
    chosen = plan(settings(tmp_path, replay_speed=7), None, dwd=False, replay=tmp_path, now=NOW)
    assert chosen.settings.home == tmp_path / "home" / "replay" / "20260601T123000Z"
    environment = chosen.environment("redis://x")
    assert environment["NOWCAST_SOURCE_KIND"] == "replay"
    assert environment["NOWCAST_INVENTED"] == "False"
    radar = process_specs(chosen, "redis://x", None)[-1]
    assert radar.ends
    assert radar.command[-4:] == ("--speed", "7.0", "--recorded", str(tmp_path))


def test_without_options_the_day_is_invented_and_marked_as_such(tmp_path: Path):
    chosen = plan(settings(tmp_path), None, dwd=False, replay=None, now=NOW)
    assert chosen.settings.home == tmp_path / "home" / "invented"
    assert chosen.environment("redis://x")["NOWCAST_INVENTED"] == "True"
    assert chosen.environment("redis://x")["NOWCAST_REDIS_URL"] == "redis://x"


def test_the_environment_of_the_processes_holds_settings(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    chosen = plan(settings(tmp_path), None, dwd=False, replay=None, now=NOW)
    for name, value in chosen.environment("redis://x").items():
        monkeypatch.setenv(name, value)
    values = Settings()
    assert values == chosen.settings.model_copy(update={"source": chosen.source, "redis_url": SecretStr("redis://x")})


@pytest.mark.parametrize(
    ("kind", "expected"), [("directory", "directory"), ("replay", "replay"), ("dwd", "dwd"), ("ord", "ord")]
)
def test_the_settings_choose_where_the_command_line_does_not(tmp_path: Path, kind: str, expected: str):
    chosen = plan(settings(tmp_path, source=tmp_path, source_kind=kind), None, dwd=False, replay=None, now=NOW)
    assert chosen.settings.source_kind == expected
    assert not chosen.settings.invented


def test_another_kind_of_source_is_passed_on_by_its_name(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setitem(SOURCES._entries, "toy", SOURCES.get("directory"))
    for folder in (tmp_path, None):
        by_option = plan(settings(tmp_path), folder, dwd=False, replay=None, now=NOW, kind="toy")
        by_setting = plan(settings(tmp_path, source_kind="toy", source=folder), None, dwd=False, replay=None, now=NOW)
        assert by_option.environment("redis://x") == by_setting.environment("redis://x")
        assert by_option.environment("redis://x")["NOWCAST_SOURCE_KIND"] == "toy"
        command = process_specs(by_option, "redis://x", None)[1].command[1:]
        assert command == ("-m", "ingest.run", *(("--source", str(folder)) if folder else ()), "--source-kind", "toy")
    with pytest.raises(ConfigError, match=r"expected one of directory, dwd, ord, replay, toy \(got 'ftp'\)"):
        plan(settings(tmp_path, source_kind="ftp"), None, dwd=False, replay=None, now=NOW)


def test_two_sources_are_refused(tmp_path: Path):
    with pytest.raises(ConfigError, match="got more than one"):
        plan(settings(tmp_path), tmp_path, dwd=True, replay=None, now=NOW)


def test_a_folder_that_is_not_there_is_refused(tmp_path: Path):
    with pytest.raises(ConfigError, match=r"expected a folder of radar files, got .*/none"):
        plan(settings(tmp_path), tmp_path / "none", dwd=False, replay=None, now=NOW)


def test_two_trees_do_not_share_a_home(tmp_path: Path):
    with alone_in(tmp_path):
        with pytest.raises(ConfigError, match=r"another service.run works in"), alone_in(tmp_path):
            pass
        assert (tmp_path / "run.lock").read_text() == f"{os.getpid()}\n"
    with alone_in(tmp_path):
        pass


def test_a_model_that_the_replay_s_own_home_lacks_stops_the_start(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    started: list[Path] = []

    async def serve(chosen: StackPlan) -> None:
        started.append(chosen.settings.home)

    monkeypatch.setattr(service.run, "serve", serve)
    monkeypatch.setenv("NOWCAST_HOME", str(tmp_path / "home"))
    monkeypatch.setenv("NOWCAST_PORT", "0")
    monkeypatch.setenv("NOWCAST_MODEL", "mine@1")
    added, recorded = tmp_path / "home" / "models" / "mine" / "1", tmp_path / "recorded"
    added.parent.mkdir(parents=True)
    recorded.mkdir()
    shutil.copytree(INSTALLED / "guided", added)
    app = typer.Typer()
    app.command()(main)
    assert CliRunner().invoke(app, ["--source", str(recorded)]).exit_code == 0
    refused = CliRunner().invoke(app, ["--replay", str(recorded)])
    assert refused.exit_code == 2
    assert "cannot start: NOWCAST_MODEL: " in refused.output
    assert started == [tmp_path / "home"]


def test_the_folder_that_is_played_into_is_there_before_any_process(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    inboxes: list[tuple[str, bool]] = []

    async def serve(chosen: StackPlan) -> None:
        assert chosen.source is not None
        inboxes.append((chosen.source.name, chosen.source.is_dir()))

    monkeypatch.setattr(service.run, "serve", serve)
    monkeypatch.setenv("NOWCAST_HOME", str(tmp_path / "home"))
    monkeypatch.setenv("NOWCAST_PORT", "0")
    app = typer.Typer()
    app.command()(main)
    recorded = tmp_path / "recorded"
    recorded.mkdir()
    for arguments in ([], ["--replay", str(recorded)]):
        done = CliRunner().invoke(app, arguments)
        assert done.exit_code == 0, done.output
    assert inboxes == [("inbox", True)] * 2


@pytest.mark.stack
@pytest.mark.parametrize(
    ("arguments", "environment", "expected"),
    [
        (["--source", "/no/such/folder"], {}, "cannot start: expected a folder of radar files, got /no/such/folder"),
        ([], {"NOWCAST_PROT": "80"}, "cannot start: unknown settings NOWCAST_PROT"),
        ([], {"NOWCAST_PORT": "eighty"}, "cannot start: NOWCAST_PORT: "),
    ],
)
def test_a_wrong_start_is_one_clear_line_and_starts_nothing(tmp_path: Path, arguments, environment, expected):
    done = subprocess.run(
        [sys.executable, "-m", "service.run", *arguments],
        env={**os.environ, "NOWCAST_HOME": str(tmp_path), **environment},
        capture_output=True,
        text=True,
        timeout=PATIENCE_S,
    )
    assert done.returncode == 2
    assert done.stderr.startswith(expected)
    assert len(done.stderr.splitlines()) == 1
    assert done.stdout == ""
