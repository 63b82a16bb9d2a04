"""The harness of faults: what it counts, and a short run of it (`python -m tests.chaos.run` for a long one)."""

import os
import subprocess
import sys
from collections import Counter
from datetime import UTC, datetime
from pathlib import Path

import pytest

from service.forecasts.nowcast import NowcastService
from tests.chaos import invariants, soak
from tests.chaos.machine import Database, slow_disk
from tests.chaos.of_machines import OF_DATABASE, OF_SQLITE
from tests.chaos.run import Chaos, Injected, check, kinds_with, run
from tests.chaos.scene import FAULTS, Scene
from tests.chaos.watch import PartSample, flatness

LINE = (
    "  worker | INFO service.forecasts.maker forecast made by {} from scans [task_id=1 forecast_id={} model=default]\n"
)


def test_there_are_many_kinds_of_faults():
    assert len(FAULTS) >= 50


def test_a_catalogue_in_a_file_and_one_of_a_server_have_faults_of_their_own(tmp_path: Path):
    of_server, of_file = set(kinds_with(Database("", tmp_path, None))), set(kinds_with(None))  # type: ignore[arg-type]
    assert of_server ^ of_file == {*OF_DATABASE, *OF_SQLITE}
    assert of_server | of_file == FAULTS.keys()


def test_a_disk_is_as_slow_as_it_is_asked_to_be(tmp_path: Path):
    disk = slow_disk(tmp_path)
    if disk is None:
        pytest.skip("no C compiler, or no Linux")
    code = (
        "import os, sys, time\n"
        "began, file = time.monotonic(), os.open(sys.argv[1], os.O_WRONLY | os.O_CREAT)\n"
        "os.write(file, b'a'), os.pwrite(file, b'b', 9), os.fsync(file), os.fdatasync(file)\n"
        "print(time.monotonic() - began)\n"
    )

    def took_s() -> float:
        command = [sys.executable, "-c", code, str(tmp_path / "a")]
        done = subprocess.run(command, env={**os.environ, **disk.environment}, check=True, capture_output=True)
        return float(done.stdout)

    with disk.slow(tmp_path, sync_s=0.2, write_s=0.1):
        assert took_s() >= 0.6
    with disk.slow(Path("/proc"), sync_s=100.0, write_s=100.0):  # another file system
        assert took_s() < 100
    assert took_s() < 100


def test_a_fault_lasts_until_the_repair_of_it_or_of_the_next_one():
    chaos = Chaos.__new__(Chaos)
    chaos.done = [Injected("a", "", 1, 2), Injected("b", "", 3, 9, 4.0), Injected("c", "", 12, 14, 1.0)]
    assert chaos.spans() == [(1, 9), (12, 14)]


def test_work_done_twice_is_counted_and_what_was_lost_is_made_again():
    log = "".join(LINE.format("default", name) for name in ("a", "b", "a", "c", "c", "c"))
    counts = invariants.made_twice(log, {"c"}, 0)
    assert counts == {"computed": 6, "forecasts": 3, "again_after_loss": 2, "twice": 1, "restarts": 0}


def test_forecasts_made_twice_without_a_worker_that_ended_are_a_problem(tmp_path: Path, monkeypatch):
    for name in ("check_scans", "clean_service", "temporary_files"):
        monkeypatch.setattr(invariants, name, lambda *_: {})
    monkeypatch.setattr(NowcastService, "from_settings", lambda _: None)
    monkeypatch.setattr(invariants, "compare_forecasts", lambda *_: ({}, [], set()))
    monkeypatch.setattr(invariants, "compare_scores", lambda *_: ({}, []))
    scene = Scene(None, tmp_path, tmp_path, None, [], None)  # type: ignore[arg-type]
    log = "".join(LINE.format("default", name) for name in ("a", "a"))
    assert check(scene, tmp_path, log)["problems_count"] == 1
    assert check(scene, tmp_path, log + "  worker | ended unexpectedly (signal SIGKILL)\n")["problems_count"] == 0


def test_a_kind_of_fault_that_is_none_is_refused(tmp_path: Path):
    with pytest.raises(ValueError, match="kil worker"):
        run(tmp_path, tmp_path, seed=1, minutes=1, faults=1, scans=30, kinds=["kil worker"])


def test_ends_and_tracebacks_are_found_in_the_log():
    log = "     api | ended unexpectedly (signal SIGKILL); restarted in 0.5 s\n"
    log += "  worker | Traceback (most recent call last):\n  worker |   File\n  worker | KeyError: 'a'\n"
    assert invariants.ends_of(log) == {"api": 1}
    assert invariants.tracebacks(log) == {"worker: KeyError: 'a'": 1}


def test_memory_that_grows_shows():
    steady = [PartSample(t, 1, 100 * 2**20, 20) for t in range(40)]
    growing = [PartSample(t, 2, (100 + 10 * t) * 2**20, 20 + t) for t in range(80)]
    figures = flatness([*steady, *growing])
    assert figures["processes"] == 2
    assert figures["memory_mb"][1] > 2 * figures["memory_mb"][0]
    assert figures["handles"][1] > figures["handles"][0] + 30


def test_a_soak_finds_what_is_late_slow_or_missing(tmp_path: Path):
    at = [datetime(2018, 7, 11, 12, 5 * number, tzinfo=UTC) for number in range(3)]
    curves = soak.Curves(livez=[(t, 0.002, 200) for t in range(9)], point=[(t, 0.03, 200) for t in range(9)])
    curves.played = {time: 23.0 * number for number, time in enumerate(at)}
    curves.seen = {time: 23.0 * number + 4 for number, time in enumerate(at)}
    curves.parts = {"api": [PartSample(t, 1, 2**20, 9) for t in range(9)]}
    counts = Counter({"maps: 200": 5, "events: lines": 7, "maps: 503": 1})
    assert soak.judged(curves, counts, 23.0, set(at))["problems"] == []
    soak.draw(curves, tmp_path / "curves.png")
    assert (tmp_path / "curves.png").stat().st_size > 1000
    curves.livez.append((9.0, 0.2, 503))
    curves.seen[at[1]] += 60
    found = soak.judged(curves, counts + Counter({"tiles: 500": 2}), 23.0, set(at[:2]))["problems"]
    assert found == [
        "/livez took 0.20 s at 9 s",
        "1 probes with status 503",
        "no forecast of 12:10",
        "late forecast of 12:05: 64 s",
        "tiles: 500, 2 times",
    ]
    curves.parts["api"] += [PartSample(9 + t, 1, 2**21, 9) for t in range(9)]
    assert "api: memory_mb from 1 to 2" in soak.judged(curves, counts, 23.0, set(at))["problems"]
    curves.seen.clear()
    assert "no forecast of 12:05" in soak.judged(curves, counts, 23.0, set())["problems"]


@pytest.mark.stack
@pytest.mark.long
def test_twenty_faults_lose_nothing(tmp_path: Path, shared_data: Path):
    """Of kinds that no process ends with, so that it takes minutes; the others are in the long run."""
    kinds = [name for name in FAULTS if not name.startswith(("kill", "few", "no memory", "no large"))]
    report = run(shared_data / "events", tmp_path, seed=1, minutes=4, faults=20, scans=32, kinds=kinds)
    assert report["faults"] >= 10
    assert report["problems"] == []
    assert report["unready_while_quiet"] == {}
