"""What is deleted of the live store, what never is, and what a full disk does."""

import json
import logging
import os
import shutil
import sqlite3
import threading
from datetime import timedelta
from pathlib import Path

import pytest

from core.errors import UnavailableError
from core.settings import Settings
from ingest.sources.directory import DirectorySource
from ingest.store.live import Store
from ingest.store.locks import DiskFullError
from ingest.store.retention import Keep
from ingest.worker.loop import IngestWorker
from tests.ingest.small_scans import T0, minutes, small_file, small_frame

STEPS = 12 * 12
LIMITLESS = Keep(timedelta(days=400), 10**12, timedelta(days=400), 10**12, timedelta(days=400), 10**12)


class Clock:
    def __init__(self) -> None:
        self.now = T0 + timedelta(days=3)

    def __call__(self):
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture(scope="module")
def half_a_day(tmp_path_factory) -> Path:
    """Twelve hours of scans every half an hour, with a provider's forecast for each."""
    home: Path = tmp_path_factory.mktemp("half-a-day")
    store = Store(home, clock=Clock())
    for step in range(0, STEPS + 1, 6):
        frame = small_frame(step)
        store.put(frame)
        store.put(type(frame)(frame.valid_time + minutes(60), frame.grid, frame.rate_mmh_HW, "RV", lead_minutes=60))
    return home


@pytest.fixture
def store(half_a_day, tmp_path: Path, clock) -> Store:
    shutil.copytree(half_a_day, tmp_path / "home")
    return Store(tmp_path / "home", clock=clock)


def hours_of(store: Store) -> list[float]:
    """Ages of the stored scans, from the newest."""
    times = [scan.valid_time for scan in store.scans()]
    return [(max(times) - time).total_seconds() / 3600 for time in times]


def files(folder: Path, pattern: str = "*.nc") -> int:
    return sum(1 for path in folder.rglob(pattern) if path.is_file())


def rules(**changes) -> Keep:
    return Keep(**{**LIMITLESS.__dict__, **changes})


def test_nothing_goes_that_no_rule_names(store):
    assert store.sweep(LIMITLESS) == {}
    assert (len(store.scans()), files(store.home)) == (25, 50)


def test_old_scans_go_by_their_own_time_and_are_logged_and_counted(store, caplog):
    caplog.set_level(logging.INFO)
    sizes = sum(scan.path.stat().st_size for scan in store.scans()[:4])
    assert store.sweep(rules(scans=timedelta(hours=10))) == {"scans": 4}
    assert max(hours_of(store)) == 10, "from the newest scan, not from the clock"
    assert files(store.home / "scans") == 21
    counts = store.ingest_status().counts
    assert (counts["deleted:scans"], counts["freed:scans"]) == (4, sizes)
    beat = f"deleting 4 files ({sizes} bytes) of scans from 2024-07-01T00:00:00Z to 2024-07-01T01:30:00Z"
    assert beat in caplog.text


def test_too_many_bytes_cost_the_oldest_but_never_the_newest_hours(store, caplog):
    one = max(scan.path.stat().st_size for scan in store.scans())
    store.sweep(rules(scans_bytes=20 * one))
    assert 18 <= len(store.scans()) <= 21
    assert hours_of(store)[0] < 11
    store.sweep(rules(scans_bytes=0))
    assert max(hours_of(store)) == 6
    assert "more than the limit of 0; kept" in caplog.text
    assert store.window().status == "ok"


def test_forecasts_by_others_and_old_windows_go_too(store):
    windows = store.home / "windows/gone-model"
    windows.mkdir(parents=True)
    for name in ("20240630T1000Z", "20240701T1200Z"):
        (windows / f"{name}.safetensors").write_bytes(b"x")
    assert store.sweep(rules(others=timedelta(hours=8))) == {"others": 8, "windows": 1}
    assert files(store.home / "others") == 17
    assert len(store.scans()) == 25


def test_the_quarantine_goes_by_the_age_of_its_copies(store, clock):
    old = store.quarantine(b"old", "old", "no frame")
    new = store.quarantine(b"new", "new", "no frame")
    for path in (old, old.with_name(f"{old.name}.reason.txt")):
        os.utime(path, ((clock.now - timedelta(days=40)).timestamp(),) * 2)
    clock.now += timedelta(days=900)
    for path in (new, new.with_name(f"{new.name}.reason.txt")):
        os.utime(path, (clock.now.timestamp(),) * 2)
    assert store.sweep(rules(quarantine=timedelta(days=30))) == {"quarantine": 2}
    assert sorted(path.name for path in old.parent.iterdir()) == [new.name, f"{new.name}.reason.txt"]
    assert store.ingest_status().rejected == {"damaged": 2}, "what was rejected stays counted"


def test_what_a_kill_left_half_written_goes_after_an_hour(store, clock):
    parts = [store.home / "scans/RY/2024/07/01/.RY_1.nc.abc.part", store.home / "quarantine/.x.part"]
    parts[1].parent.mkdir()
    for path, age_h in zip(parts, (2, 0.5), strict=True):
        path.write_bytes(b"half")
        os.utime(path, ((clock.now - timedelta(hours=age_h)).timestamp(),) * 2)
    assert store.sweep(LIMITLESS) == {"parts": 1}
    assert [path.exists() for path in parts] == [False, True]


@pytest.mark.parametrize("folder", ["", "again", "backups", "others/RV"])
def test_no_folder_keeps_what_a_kill_left_half_written(store, clock, folder):
    """The status of ingest, the pace of a replay: small files of the store itself are written as often as scans."""
    part = store.home / folder / ".ingest-status.json.abc.part"
    part.parent.mkdir(parents=True, exist_ok=True)
    part.write_bytes(b"half")
    os.utime(part, ((clock.now - timedelta(hours=2)).timestamp(),) * 2)
    assert store.sweep(LIMITLESS) == {"parts": 1}
    assert not part.exists()


def test_empty_days_leave_no_folders(store, clock):
    clock.now = T0 + timedelta(days=10)
    store.put(small_frame(10 * 288))
    store.sweep(rules(scans=timedelta(days=1)))
    assert [path.name for path in (store.home / "scans/RY/2024/07").iterdir()] == ["11"]


def test_the_services_forecasts_are_none_of_ingests(store):
    kept = store.home / "forecasts/2020/01/01/x.nc"
    kept.parent.mkdir(parents=True)
    kept.write_bytes(b"forecast")
    os.utime(kept, (0, 0))
    store.sweep(Keep(timedelta(0), 0, timedelta(0), 0, timedelta(0), 0))
    assert kept.exists()


def test_a_crash_before_the_deletion_leaves_no_row_without_a_file(store, monkeypatch):
    from ingest.store import retention

    with monkeypatch.context() as patch:
        patch.setattr(retention, "delete_files", lambda *_: (_ for _ in ()).throw(KeyboardInterrupt))
        with pytest.raises(KeyboardInterrupt):
            store.sweep(rules(scans=timedelta(hours=10)))
    assert (len(store.scans()), files(store.home / "scans")) == (21, 25)
    store.sweep(rules(scans=timedelta(hours=10)))
    assert files(store.home / "scans") == 21


def test_on_a_disk_too_full_for_the_note_the_files_go_first(store, monkeypatch):
    forget, full = store._index.forget, iter([True])

    def forget_later(*args) -> None:
        if next(full, False):
            raise DiskFullError("database or disk is full")
        forget(*args)

    monkeypatch.setattr(store._index, "forget", forget_later)
    assert store.sweep(rules(scans=timedelta(hours=10))) == {"scans": 4}
    assert (len(store.scans()), files(store.home / "scans")) == (21, 21)


def test_the_rules_come_from_the_settings():
    settings = Settings(scans_keep_days=3, quarantine_max_bytes=5)
    assert Keep.of(settings).scans == timedelta(days=3)
    assert Keep.of(settings).quarantine_bytes == 5
    assert Keep.of(Settings()) == Keep()
    with pytest.raises(ValueError, match="scans_keep_days"):
        Settings(scans_keep_days=0.1)


class Disk:
    """Free disk space, as the worker sees it."""

    def __init__(self) -> None:
        self.free = 10**9

    def __call__(self) -> int:
        return self.free


def worker_on(store: Store, folder: Path, clock: Clock, disk: Disk) -> IngestWorker:
    source = DirectorySource(folder, grace_s=0)
    source.ticks = lambda _stop: iter([None])  # type: ignore[method-assign, assignment]
    return IngestWorker(
        source,
        store,
        list,
        threading.Event(),
        clock=clock,
        name="share",
        keep=rules(scans=timedelta(days=2)),
        min_free_bytes=10**6,
        free=disk,
    )


def test_with_too_little_disk_space_ingest_pauses_reports_it_and_continues(store, tmp_path, clock, caplog):
    folder, disk = tmp_path / "in", Disk()
    folder.mkdir()
    forecast = store.home / "forecasts/f.nc"
    forecast.parent.mkdir()
    forecast.write_bytes(b"forecast")
    worker = worker_on(store, folder, clock, disk)
    worker.run()
    disk.free = 999_999
    began = clock.now
    for step in (STEPS + 1, STEPS + 2):
        name, content = small_file(step)
        (folder / name).write_bytes(content)
        clock.now += minutes(5)
        worker.run()
    beat = json.loads((store.home / "ingest-status.json").read_text())
    assert beat["paused_since"] == (began + minutes(5)).isoformat().replace("+00:00", "Z")
    assert "got 999,999" in beat["paused"]
    assert "expected at least 1,000,000 free bytes" in beat["error"]
    assert any(text.startswith("paused since") for text in store.ingest_status().warnings)
    assert len(store.scans()) == 25
    assert caplog.text.count("ERROR") == 1, "once, not at every look"
    disk.free = 10**9
    worker.run()
    assert len(store.scans()) == 27
    status = store.ingest_status()
    assert (status.worker["paused_since"], status.worker["error"]) == (None, None)
    assert not any("paused" in text for text in status.warnings)
    assert forecast.read_bytes() == b"forecast"
    assert not (store.home / "quarantine").exists(), "the files are not to blame"


def test_a_disk_that_fills_up_between_two_files_pauses_too(store, tmp_path, clock, monkeypatch):
    folder, disk = tmp_path / "in", Disk()
    folder.mkdir()
    for step in (1, 2, 3):
        name, content = small_file(step)
        (folder / name).write_bytes(content)
    worker = worker_on(store, folder, clock, disk)
    put_file = store.put_file

    def put_and_fill(*args, **kwargs):
        disk.free = 0
        return put_file(*args, **kwargs)

    with monkeypatch.context() as patch:
        patch.setattr(store, "put_file", put_and_fill)
        worker.run()
    assert len(store.scans()) == 26
    assert store.ingest_status().worker["paused_since"]
    disk.free = 10**9
    worker.run()
    assert len(store.scans()) == 28


@pytest.mark.parametrize("error", [OSError(28, "No space left on device"), sqlite3.OperationalError])
def test_a_write_that_finds_no_room_is_a_full_disk(store, monkeypatch, error):
    from sqlalchemy.exc import OperationalError

    from ingest.store import scanfile
    from ingest.store.database import translate_sql_errors

    if isinstance(error, OSError):
        monkeypatch.setattr(scanfile, "write_dataset", lambda *_, **__: (_ for _ in ()).throw(error))
        with pytest.raises(DiskFullError, match="No space left"):
            store.put(small_frame(1))
    else:
        with pytest.raises(DiskFullError), translate_sql_errors():
            raise OperationalError("INSERT", {}, error("database or disk is full"))
    assert issubclass(DiskFullError, UnavailableError)
