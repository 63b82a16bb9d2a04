"""Faults in stored scans: any flipped byte is found, the scan is set aside, and its source is read again once."""

import errno
import os
import threading
import time
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from pathlib import Path

import numpy as np
import pytest

from core.errors import NoDataError, UnavailableError
from core.files import CHECKSUM, check_file
from core.frame import RadarFrame
from core.grid import RADOLAN_SPHERE, Grid
from ingest.file_names import EVERYTHING
from ingest.sources.base import Arrival, RepeatingSource
from ingest.sources.directory import DirectorySource
from ingest.sources.dwd import DwdSource
from ingest.sources.listing import Marks
from ingest.store import intake
from ingest.store.intake import ingest_file
from ingest.store.live import Store
from ingest.store.scanfile import LostScanError, read_scan
from ingest.worker.loop import IngestWorker

GRID = Grid(RADOLAN_SPHERE, 0.0, -4_000_000.0, 1000.0, 1000.0, 24, 30, "small")
SEED = 24
NOW = datetime(2024, 7, 1, 12, tzinfo=UTC)


def frame_at(time: datetime, product: str = "RY") -> RadarFrame:
    rate_mmh_HW = np.random.default_rng(time.minute).gamma(0.3, 4.0, GRID.shape).astype(np.float32)
    return RadarFrame(time, GRID, rate_mmh_HW, product)


def flip(path: Path, at: int) -> None:
    content = bytearray(path.read_bytes())
    content[at] ^= 0x55
    path.write_bytes(content)


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return Store(tmp_path / "home", clock=lambda: NOW)


@pytest.fixture
def worker(store: Store, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> IngestWorker:
    """Ingest of a folder with one file, whose name is its time."""
    (tmp_path / "in").mkdir()
    (tmp_path / "in" / "202407011150").write_bytes(b"a scan")

    def read(content: bytes, *, name: str, notes: list[str]) -> list[RadarFrame]:
        return [frame_at(datetime.strptime(name, "%Y%m%d%H%M").replace(tzinfo=UTC))]

    monkeypatch.setattr(intake, "read_frames", read)
    return IngestWorker(DirectorySource(tmp_path / "in"), store, list, threading.Event())


def test_every_flipped_byte_is_found_and_nothing_else_is_raised(store):
    store.put(frame_at(NOW))
    (scan,) = store.scans()
    whole = scan.path.read_bytes()
    rng = np.random.default_rng(SEED)
    for at in rng.choice(len(whole) - CHECKSUM.size, 60, replace=False):
        scan.path.write_bytes(whole)
        flip(scan.path, int(at))
        with pytest.raises(LostScanError, match="damaged"):
            read_scan(scan.path)


@pytest.mark.parametrize("length", [0, 1, 1000, -40, -500])
def test_a_cut_scan_is_found(store, length):
    store.put(frame_at(NOW))
    (scan,) = store.scans()
    content = scan.path.read_bytes()
    scan.path.write_bytes(content[:length])
    with pytest.raises(NoDataError):
        store.load(scan)
    assert store.scans() == []


def test_flips_in_a_file_of_an_earlier_release_are_errors_of_the_file(store):
    store.put(frame_at(NOW))
    (scan,) = store.scans()
    whole = scan.path.read_bytes()[: -CHECKSUM.size]
    scan.path.write_bytes(whole)
    assert not check_file(scan.path)
    np.testing.assert_array_equal(store.load(scan).rate_mmh_HW, frame_at(NOW).rate_mmh_HW)
    for at in np.random.default_rng(SEED).choice(len(whole), 40, replace=False):
        scan.path.write_bytes(whole)
        flip(scan.path, int(at))
        with suppress(LostScanError):
            read_scan(scan.path)


def test_a_damaged_scan_is_quarantined_and_its_source_read_again(store, worker, tmp_path):
    worker.look()
    (scan,) = store.scans()
    whole = scan.path.read_bytes()
    flip(scan.path, 2000)
    with pytest.raises(NoDataError):
        Store(store.home, clock=lambda: NOW).load(scan)  # another process finds it
    assert store.scans() == []
    (reason,) = (store.home / "quarantine").glob("*.reason.txt")
    assert "damaged" in reason.read_text()
    assert store.ingest_status().counts["lost"] == 1
    worker.look()
    assert [one.valid_time for one in store.scans()] == [scan.valid_time]
    assert scan.path.read_bytes() == whole
    worker.look()
    assert store.ingest_status().counts["stored"] == 2


def test_a_source_is_read_again_only_once_for_one_scan(store, worker):
    for expected in (1, 0):
        worker.look()
        (scan,) = store.scans()
        flip(scan.path, 2000 + expected)
        with pytest.raises(NoDataError):
            store.load(scan)
        worker.look()
        assert len(store.scans()) == expected


def test_a_damaged_scan_does_not_come_back_when_the_catalogue_is_made_anew(store):
    store.put(frame_at(NOW))
    (scan,) = store.scans()
    flip(scan.path, 2000)
    with pytest.raises(NoDataError):
        store.load(scan)
    assert not scan.path.exists()
    assert store.rebuild() == 0
    assert list((store.home / "quarantine").glob(f"*{scan.path.name}"))


def test_a_scan_that_is_damaged_again_later_is_read_once_more(worker, tmp_path):
    now = [NOW]
    store = Store(tmp_path / "home", clock=lambda: now[0])
    for minutes, expected in ((0, 1), (11, 1), (15, 0)):
        now[0] = NOW + timedelta(minutes=minutes)
        worker.look()
        (scan,) = store.scans()
        flip(scan.path, 2000)
        with pytest.raises(NoDataError):
            store.load(scan)
        worker.look()
        assert len(store.scans()) == expected, minutes


def test_a_scan_that_was_damaged_when_the_catalogue_was_lost_is_read_again(worker, store):
    worker.look()
    (scan,) = store.scans()
    flip(scan.path, 2000)
    for suffix in ("", "-wal", "-shm"):
        (store.home / f"catalogue.sqlite{suffix}").unlink(missing_ok=True)
    with pytest.raises(UnavailableError):
        store.scans()
    assert store.scans() == []
    worker.look()
    assert [one.valid_time for one in store.scans()] == [scan.valid_time]
    store.load(scan)


def test_a_scan_that_is_damaged_after_the_catalogue_was_lost_is_read_again(worker, store):
    worker.look()
    (scan,) = store.scans()
    store.rebuild()  # the names of the ingested files are gone
    worker.look()
    flip(scan.path, 2000)
    with pytest.raises(NoDataError):
        store.load(scan)
    worker.look()
    assert len(store.scans()) == 1


def test_a_scan_whose_file_vanished_is_fetched_again(store, worker):
    worker.look()
    (scan,) = store.scans()
    scan.path.unlink()
    with pytest.raises(NoDataError):
        store.load(scan)
    worker.look()
    store.load(store.scans()[0])


def test_a_shortage_of_handles_is_no_damage(store, monkeypatch):
    store.put(frame_at(NOW))
    (scan,) = store.scans()

    def refuse(path: Path) -> bool:
        raise OSError(errno.EMFILE, os.strerror(errno.EMFILE), str(path))

    with monkeypatch.context() as patch:
        patch.setattr("core.cf.check_file", refuse)
        with pytest.raises(UnavailableError):
            store.load(scan)
    store.load(scan)


def test_windows_are_written_although_a_scan_is_damaged(store):
    for minutes in range(0, 121, 30):
        store.put(frame_at(NOW - timedelta(minutes=minutes)))
    flip(store.scans()[1].path, 3000)
    window = store.window()
    assert window.status == "degraded"
    assert sum(time is None for time in window.input_times) == 1


def test_a_polled_file_counts_as_changed_when_it_is_offered_again(tmp_path):
    source = DwdSource("http://127.0.0.1:9", tmp_path / "inbox", known=lambda _: True)
    assert isinstance(source, RepeatingSource)
    (tmp_path / "inbox").mkdir()
    file = tmp_path / "inbox" / "scan"
    file.write_bytes(b"x")
    source.settle(Arrival(file, final=True), intake.Outcome())
    source.offer_again(["scan"])
    assert Marks(tmp_path / "inbox.marks.json").get("scan") == "lost"
    source.settle(Arrival(file, final=True), intake.Outcome())
    source.offer_again([EVERYTHING])
    assert Marks(tmp_path / "inbox.marks.json").get("scan") == "lost"


def test_of_a_folder_the_files_of_a_day_are_offered_again(tmp_path):
    source = DirectorySource(tmp_path)
    for name, age_s in (("new", 3600), ("old", 90_000)):
        (tmp_path / name).write_bytes(b"x")
        os.utime(tmp_path / name, (time.time() - age_s,) * 2)
    for arrival in source.look():
        source.settle(arrival, intake.Outcome())
    assert not list(source.look())
    source.offer_again([EVERYTHING])
    assert [one.path.name for one in source.look()] == ["new"]


def test_a_scan_that_is_ahead_of_the_clock_is_refused_and_never_the_newest(tmp_path, worker, store, monkeypatch):
    now = datetime.now(UTC).replace(second=0, microsecond=0)
    for minutes, taken in ((4, True), (7, False), (2880, False)):
        name = f"{now + timedelta(minutes=minutes):%Y%m%d%H%M}"
        outcome = ingest_file(b"x", store, name=name)
        assert (outcome.kind, outcome.stored) == ((None, 1) if taken else ("future", 0)), minutes
        assert taken or (outcome.again_at is not None and "expected no scan after" in str(outcome.rejected))
    clock = [now]
    store = Store(tmp_path / "other", clock=lambda: clock[0])
    for minutes in (-5, 0, 5, 120):
        store.put(frame_at(now + timedelta(minutes=minutes)))
    assert store.latest().valid_time == now + timedelta(minutes=5)
    assert [scan.valid_time for scan in store.scans()][-1] == now + timedelta(minutes=5)
    assert [scan.valid_time for scan in store.scans(end=now + timedelta(hours=3))][-1] == now + timedelta(minutes=5)
    clock[0] += timedelta(hours=2)
    assert store.latest().valid_time == now + timedelta(minutes=120)
