"""`nowcast healthcheck PART`: whether a part of this host works, and with --end a frozen one is ended."""

import os
import signal
import subprocess
import sys
from datetime import timedelta
from pathlib import Path

import pytest
from typer.testing import CliRunner

from core.settings import Settings
from core.times import utc_now
from ingest.store.progress import ProgressRecorder
from service import healthcheck
from service.command import app as commands
from service.forecasts.catalogue import Catalogue
from service.healthcheck import (
    ContainerPart,
    confirm_s,
    confirmed,
    home_of,
    is_part,
    kill_part,
    processes_of,
    work_check,
)
from service.tasks.liveness import silence_s
from service.tasks.watchdog import mark_completed
from tests.waiting import PATIENCE_S


@pytest.mark.parametrize("part", ["ingest", "beat"])
def test_a_part_is_healthy_while_its_own_work_is_recent(tmp_path: Path, part: str):
    settings, engine, age = Settings(home=tmp_path), Catalogue(tmp_path).engine, [0.0]
    check = work_check(ContainerPart(part), settings)
    assert check() == "it has recorded no work on this host"
    for seconds, healthy in ((400.0, False), (10.0, True)):
        age[0] = seconds
        ProgressRecorder(engine, part, settings, lambda: utc_now() - timedelta(seconds=age[0])).record()  # type: ignore[arg-type]
        assert (check() == "") == healthy, check()
    assert work_check(ContainerPart(part), settings, "another-host")() == "it has recorded no work on this host"


@pytest.mark.parametrize(("part", "name"), [("worker", "celery@one"), ("alerts", "alerts@one")])
def test_a_worker_is_healthy_by_the_tasks_that_it_completes_itself(tmp_path: Path, part: str, name: str):
    settings, engine = Settings(home=tmp_path), Catalogue(tmp_path).engine
    check, limit_s = work_check(ContainerPart(part), settings, "one"), 300
    mark_completed(engine, "celery@another", utc_now())
    assert check() == "it has recorded no work on this host"
    mark_completed(engine, name, utc_now(), utc_now() - timedelta(seconds=limit_s + 1))
    assert check() == f"expected work within {limit_s} s, its last one was {limit_s + 1} s ago"
    mark_completed(engine, name, utc_now())
    assert check() == ""
    assert silence_s(part, settings) == limit_s  # type: ignore[arg-type]


def test_the_command_has_the_state_as_its_exit_status(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("NOWCAST_HOME", str(tmp_path))
    Catalogue(tmp_path)
    done = CliRunner().invoke(commands, ["healthcheck", "beat"])
    assert (done.exit_code, done.stderr) == (1, "beat: it has recorded no work on this host\n")
    ProgressRecorder(Catalogue(tmp_path).engine, "beat", Settings(home=tmp_path)).record()
    done = CliRunner().invoke(commands, ["healthcheck", "beat", "--end"])
    assert (done.exit_code, done.stdout) == (0, "ok\n")
    done = CliRunner().invoke(commands, ["healthcheck", "api", "--port", "9"])
    assert done.exit_code == 1
    assert done.stderr.startswith("api: no answer from port 9: ")


def test_work_after_a_step_of_the_clock_keeps_a_part_alive():
    answers = ["late", "late", ""]
    assert not confirmed(lambda: answers.pop(0), 60, wait=lambda _: None)
    assert confirmed(lambda: "late", 0.01, wait=lambda _: None)


def test_a_worker_has_the_time_to_its_next_synthetic_task():
    """Thirty seconds were less than the minute between two of them: a step of the clock ended a healthy worker."""
    assert confirm_s(ContainerPart.BEAT, Settings()) == 30.0
    assert confirm_s(ContainerPart.WORKER, Settings(heartbeat_s=40)) == 70.0
    assert confirm_s(ContainerPart.ALERTS, Settings(heartbeat_s=600)) == 90.0


@pytest.mark.skipif(sys.platform != "linux", reason="processes are found in /proc")
def test_a_frozen_part_is_killed_and_one_of_another_installation_is_not(tmp_path: Path):
    (tmp_path / "sleeper.py").write_text("import time; print('up', flush=True); time.sleep(600)")
    command = [sys.executable, str(tmp_path / "sleeper.py"), "-A", "service.worker", "beat", str(tmp_path)]
    mine, other = tmp_path / "mine", tmp_path / "other"
    environments = ({"NOWCAST_HOME": str(mine)}, {"NOWCAST_HOME": str(other)})
    processes = [subprocess.Popen(command, stdout=subprocess.PIPE, env=one) for one in environments]
    try:
        for process in processes:
            assert process.stdout
            assert process.stdout.readline() == b"up\n"
            process.send_signal(signal.SIGSTOP)
        assert list(dict(processes_of(ContainerPart.BEAT, mine))) == [processes[0].pid]
        assert not dict(processes_of(ContainerPart.WORKER, mine))
        kill_part(ContainerPart.BEAT, mine, older_than_s=1e9)
        assert [process.poll() for process in processes] == [None, None]
        kill_part(ContainerPart.BEAT, mine, older_than_s=-1)
        assert processes[0].wait(PATIENCE_S) == -signal.SIGKILL
        assert processes[1].poll() is None
    finally:
        for process in processes:
            process.kill()
            process.communicate()


def test_the_live_store_of_a_process_is_that_of_its_settings(tmp_path: Path):
    (tmp_path / "nowcast_home").write_text("/srv/rain\n")
    secrets = {"NOWCAST_CREDENTIALS": str(tmp_path)}
    assert home_of({"NOWCAST_HOME": "data"}, tmp_path) == tmp_path / "data"
    assert home_of({}, tmp_path) == tmp_path / "var"
    assert home_of(secrets, tmp_path) == Path("/srv/rain")
    assert home_of({**secrets, "NOWCAST_HOME": "/other"}, tmp_path) == Path("/other")


def test_a_further_worker_of_the_host_is_not_the_one_that_is_looked_at():
    worker = ["celery", "-A", "service.worker", "worker"]
    assert is_part(ContainerPart.WORKER, worker)
    for name in (["--hostname", "second@%h"], ["--hostname=second@%h"], ["-n", "second@%h"]):
        assert not is_part(ContainerPart.WORKER, [*worker, *name])
    assert is_part(ContainerPart.ALERTS, ["celery", "-A", "service.alerter", "worker", "--hostname", "alerts@%h"])


def test_the_ages_of_processes_are_those_of_the_kernel(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    ticks = os.sysconf("SC_CLK_TCK")
    (tmp_path / "uptime").write_text("1000.5 7.0\n")
    for pid, command in ((7, b"python\0-m\0ingest.run\0--dwd\0"), (8, b"python\0/usr/bin/nowcast\0ingest\0"), (9, b"")):
        (tmp_path / str(pid)).mkdir()
        (tmp_path / str(pid) / "cmdline").write_bytes(command)
        (tmp_path / str(pid) / "environ").write_bytes(b"A=b\0NOWCAST_HOME=/srv/rain\0")
        (tmp_path / str(pid) / "cwd").symlink_to("/")
        fields = ["0"] * 50
        fields[19] = str(600 * ticks)
        (tmp_path / str(pid) / "stat").write_text(f"{pid} (a (b) c) {' '.join(fields)}")
    home = Path("/srv/rain")
    assert dict(processes_of(ContainerPart.INGEST, home, tmp_path)) == {7: 400.5, 8: 400.5}
    assert dict(processes_of(ContainerPart.INGEST, Path("/srv/other"), tmp_path)) == {}
    assert dict(processes_of(ContainerPart.API, home, tmp_path)) == {}
    killed: list[tuple[int, int]] = []
    monkeypatch.setattr(healthcheck, "processes_of", lambda part, home: iter([(7, 400.5), (8, 10.0)]))
    monkeypatch.setattr(os, "kill", lambda pid, number: killed.append((pid, number)))
    kill_part(ContainerPart.INGEST, home, 300)
    assert killed == [(7, signal.SIGKILL)]
