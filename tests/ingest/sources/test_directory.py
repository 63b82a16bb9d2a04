"""The watched folder: 13 real scans of DWD in any order, and all that else is dropped there."""

import gzip
import os
import random
import threading
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from core.errors import ConfigError, UnavailableError
from ingest.sources.directory import DirectorySource
from ingest.store.intake import Outcome
from ingest.store.live import Store
from ingest.worker.loop import IngestWorker

T0 = datetime(2020, 1, 1, 15, tzinfo=UTC)
TIMES = [T0 + timedelta(minutes=5 * step) for step in range(13)]


class Clock:
    """A clock whose seconds the test advances."""

    def __init__(self) -> None:
        self.now_s = 1_700_000_000.0

    def __call__(self) -> float:
        return self.now_s


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "in").mkdir()
    return tmp_path / "in"


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return Store(tmp_path / "home")


@pytest.fixture
def sequence(shared_data: Path) -> list[Path]:
    files = sorted((shared_data / "radolan/sequence_ry_20200101").glob("*.gz"))
    assert len(files) == 13
    return files


def worker_on(folder: Path, store: Store, clock: Clock, **options) -> IngestWorker:
    return IngestWorker(DirectorySource(folder, clock=clock, grace_s=30, **options), store, list, threading.Event())


def names(source: DirectorySource) -> list[str]:
    return [arrival.path.name for arrival in source.look()]


def test_13_scans_dropped_one_by_one_in_any_order_with_duplicates(folder, store, clock, sequence):
    worker = worker_on(folder, store, clock)
    shuffled = sequence.copy()
    random.Random(7).shuffle(shuffled)
    for count, path in enumerate(shuffled, start=1):
        (folder / path.name).write_bytes(path.read_bytes())
        worker.look()
        assert len(store.scans()) == count
        if count % 3 == 0:
            (folder / f"again-{path.name}").write_bytes(path.read_bytes())
            (folder / path.name).write_bytes(path.read_bytes())
            worker.look()
            assert len(store.scans()) == count
    assert [scan.valid_time for scan in store.scans()] == TIMES
    assert len(list((store.home / "scans").rglob("*.nc"))) == 13
    assert worker.totals.stored == 13
    assert worker.totals.duplicates >= 4
    assert worker.totals.last_scan_time == "2020-01-01T16:00:00Z"
    assert len(list(folder.iterdir())) == 17, "originals stay"


def test_files_that_were_there_before_are_taken_and_a_restart_takes_none_again(folder, store, clock, sequence):
    for path in sequence[:4]:
        (folder / path.name).write_bytes(path.read_bytes())
    (folder / "sub").mkdir()
    (folder / "sub" / sequence[4].name).write_bytes(sequence[4].read_bytes())
    worker = worker_on(folder, store, clock)
    worker.look()
    worker.look()
    assert (worker.totals.stored, worker.totals.duplicates) == (5, 0)
    received = [scan.received_at for scan in store.scans()]
    again = worker_on(folder, Store(store.home), clock)
    again.look()
    assert (again.totals.stored, again.totals.duplicates) == (0, 5)
    assert [scan.received_at for scan in store.scans()] == received


def test_bad_files_are_quarantined_in_the_end_and_the_run_continues(folder, store, clock, sequence):
    worker = worker_on(folder, store, clock)
    (folder / "cut.gz").write_bytes(sequence[0].read_bytes()[:5000])
    (folder / "foreign.txt").write_bytes(b"a letter")
    (folder / sequence[1].name).write_bytes(sequence[1].read_bytes())
    worker.look()
    assert len(store.scans()) == 1
    assert not (store.home / "quarantine").exists(), "they may still be growing"
    clock.now_s += 29
    worker.look()
    assert not (store.home / "quarantine").exists()
    clock.now_s += 1
    worker.look()
    clock.now_s += 1000
    worker.look()
    kept = {path.name.split("_", 1)[1] for path in (store.home / "quarantine").iterdir()}
    assert kept == {"cut.gz", "cut.gz.reason.txt", "foreign.txt", "foreign.txt.reason.txt"}
    assert worker.totals.rejected == 2
    (folder / sequence[2].name).write_bytes(sequence[2].read_bytes())
    worker.look()
    assert len(store.scans()) == 2
    assert (folder / "cut.gz").exists()


def test_a_file_that_grows_is_read_when_it_is_whole(folder, store, clock, sequence):
    content = gzip.decompress(sequence[0].read_bytes())
    path = folder / "slow"
    worker = worker_on(folder, store, clock)
    for size in (0, 100, 1000, 800_000, 1_600_000):
        path.write_bytes(content[:size])
        worker.look()
        clock.now_s += 25
        worker.look()
        assert store.scans() == []
    path.write_bytes(content)
    worker.look()
    assert [scan.valid_time for scan in store.scans()] == TIMES[:1]
    assert not (store.home / "quarantine").exists()
    assert worker.totals.rejected == 0


def test_a_file_that_is_overwritten_is_read_again(folder, store, clock, sequence):
    worker = worker_on(folder, store, clock)
    for path in sequence[:3]:
        (folder / "ry-latest.gz").write_bytes(path.read_bytes())
        worker.look()
    assert [scan.valid_time for scan in store.scans()] == TIMES[:3]


def test_a_quarantined_file_that_changes_has_another_chance(folder, store, clock, sequence):
    worker = worker_on(folder, store, clock)
    (folder / "a.gz").write_bytes(b"")
    worker.look()
    clock.now_s += 60
    worker.look()
    assert worker.totals.rejected == 1
    (folder / "a.gz").write_bytes(sequence[0].read_bytes())
    worker.look()
    assert len(store.scans()) == 1


def test_unfinished_and_hidden_names_are_left_alone(folder, clock):
    for name in (".hidden", "a.gz.part", "b.TMP", "good"):
        (folder / name).write_bytes(b"x")
    (folder / ".cache").mkdir()
    (folder / ".cache" / "inside").write_bytes(b"x")
    (folder / "sub").mkdir()
    (folder / "sub" / "inside").write_bytes(b"x")
    os.mkfifo(folder / "pipe")
    (folder / "dangling").symlink_to(folder / "nowhere")
    assert sorted(names(DirectorySource(folder, clock=clock))) == ["good", "inside"]
    assert names(DirectorySource(folder, clock=clock, recursive=False)) == ["good"]


def test_the_newest_file_is_first(folder, clock):
    for age, name in enumerate(["b", "c", "a"]):
        (folder / name).write_bytes(b"x")
        os.utime(folder / name, (1e9 - age, 1e9 - age))
    assert names(DirectorySource(folder, clock=clock)) == ["b", "c", "a"]


def test_a_file_that_is_not_settled_is_yielded_again(folder, clock):
    (folder / "a").write_bytes(b"x")
    source = DirectorySource(folder, clock=clock)
    (arrival,) = source.look()
    source.settle(arrival, None)
    (arrival,) = source.look()
    source.settle(arrival, Outcome(stored=1))
    assert names(source) == []


def test_a_single_look_trusts_the_age_of_a_file(folder, store, clock, sequence):
    (folder / "old").write_bytes(b"x")
    os.utime(folder / "old", (clock.now_s - 3600,) * 2)
    (folder / "new").write_bytes(b"x")
    os.utime(folder / "new", (clock.now_s - 1,) * 2)
    worker = worker_on(folder, store, clock, trust_age=True)
    worker.look()
    assert worker.totals.rejected == 1
    assert [path.name[13:] for path in (store.home / "quarantine").glob("*.reason.txt")] == ["old.reason.txt"]


def test_a_wrong_folder_stops_the_start_and_a_lost_one_is_unavailable(tmp_path, folder, clock):
    with pytest.raises(ConfigError, match=r"nowhere: expected a folder, got nothing there"):
        DirectorySource(tmp_path / "nowhere")
    (tmp_path / "file").write_bytes(b"")
    with pytest.raises(ConfigError, match="expected a folder, got a file"):
        DirectorySource(tmp_path / "file")
    source = DirectorySource(folder, clock=clock)
    folder.rename(tmp_path / "unmounted")
    with pytest.raises(UnavailableError, match="cannot be read now"):
        list(source.look())
    (tmp_path / "unmounted").rename(folder)
    assert names(source) == []


@pytest.fixture
def stop() -> Iterator[threading.Event]:
    event = threading.Event()
    yield event
    event.set()


def test_a_change_in_the_folder_is_a_tick_long_before_the_poll(folder, stop):
    source = DirectorySource(folder, poll_s=600)
    ticks = source.ticks(stop)
    next(ticks), next(ticks)  # at once, and when the reports begin
    drop = threading.Timer(0.5, lambda: (folder / "a").write_bytes(b"x"))
    give_up = threading.Timer(60, stop.set)
    for timer in (drop, give_up):
        timer.start()
    next(ticks)
    give_up.cancel()
    assert names(source) == ["a"]
    stop.set()
    assert list(ticks) == []


@pytest.mark.parametrize("reports", [True, False])
def test_a_drive_that_reports_nothing_is_polled(folder, stop, monkeypatch, reports, caplog):
    if not reports:

        def fail(*_: object, **__: object) -> None:
            raise OSError("inotify watch limit reached")

        monkeypatch.setattr("ingest.sources.directory.watchfiles.watch", fail)
    ticks = DirectorySource(folder, poll_s=0.05).ticks(stop)
    assert [next(ticks) for _ in range(3)] == [None] * 3
    assert ("watch limit" in caplog.text) is not reports
    stop.set()
    assert list(ticks) == []


def test_files_that_arrive_before_change_reports_start_are_found(tmp_path, monkeypatch):
    reports: list[set[object]] = [set(), set(), {"a change"}, set()]
    monkeypatch.setattr("watchfiles.watch", lambda *_, **__: iter(reports))
    ticks = DirectorySource(tmp_path, poll_s=3600).ticks(threading.Event())
    assert [next(ticks) for _ in range(3)] == [None] * 3  # at once; at the first report, though empty; at the change
    assert reports


def test_chunks_of_a_zarr_store_are_no_radar_files(folder, clock):
    (folder / "rain.zarr" / "rain").mkdir(parents=True)
    (folder / "rain.zarr" / "rain" / "0.0.0").write_bytes(b"chunk")
    (folder / "rain.zarr.zip").write_bytes(b"PK")
    assert names(DirectorySource(folder, clock=clock)) == ["rain.zarr.zip"]
