"""One file at a time into the store: the real files of DWD, and everything that is none."""

import bz2
import faulthandler
import gzip
import hashlib
import json
import logging
import subprocess
import sys
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from core.cf import rate_dataset
from core.errors import UnavailableError
from core.frame import RadarFrame
from core.grid import RADOLAN_900
from ingest import readers as reading
from ingest.readers import read_frames
from ingest.sandbox.pool import BrokenDecodingError, UploadedFile
from ingest.store import attempts
from ingest.store import intake as pipeline
from ingest.store.intake import Outcome, ingest_file
from ingest.store.live import Store

RY = "sequence_ry_20200101/raa01-ry_10000-2001011500-dwd---bin.gz"
T0 = datetime(2020, 1, 1, 15, tzinfo=UTC)


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return Store(tmp_path / "home")


@pytest.fixture
def radolan(shared_data: Path) -> Path:
    return shared_data / "radolan"


@pytest.fixture
def small_scan() -> tuple[bytes, bytes]:
    """Two small files of scans of different times."""
    grid = RADOLAN_900.resized(20, 20)
    made = [rate_dataset(np.ones((1, 20, 20), np.float32), [T0 + timedelta(minutes=5 * n)], grid) for n in range(2)]
    return tuple(bytes(one.to_netcdf(engine="scipy", format="NETCDF3_64BIT")) for one in made)  # type: ignore[return-value]


def quarantined(store: Store) -> dict[str, str]:
    """Name of each quarantined file (without the digest before it) and the first line of its reason."""
    folder = store.home / "quarantine"
    reasons = sorted(folder.glob("*.reason.txt"))
    return {
        path.name.split("_", 1)[1].removesuffix(".reason.txt"): path.read_text().split("\n", 1)[0] for path in reasons
    }


def test_a_real_scan_is_stored_once(store, radolan):
    assert ingest_file(radolan / RY, store) == Outcome(stored=1, newest=T0)
    assert ingest_file(radolan / RY, store) == Outcome(duplicates=1, known=True)
    (scan,) = store.scans()
    assert (scan.product, scan.valid_time) == ("RY", T0)
    assert store.load(scan).grid == RADOLAN_900
    assert not (store.home / "quarantine").exists()


def test_the_same_scan_in_another_wrapping_or_under_another_name_is_a_duplicate(store, radolan):
    content = (radolan / RY).read_bytes()
    raw = gzip.decompress(content)
    assert ingest_file(content, store, name="a.gz").stored == 1
    for name, other in {"b.gz": content, "c": raw, "d.bz2": bz2.compress(raw)}.items():
        assert ingest_file(other, store, name=name) == Outcome(duplicates=1, newest=T0), name
    assert len(store.scans()) == 1


def test_two_dry_hours_that_are_the_same_bytes_are_two_scans(store, monkeypatch, radolan):
    """An ASCII grid holds no time: its name does."""
    frame = read_frames(radolan / RY)[0]
    times = {"one.asc": T0, "two.asc": T0.replace(hour=16)}
    monkeypatch.setattr(
        pipeline,
        "read_frames",
        lambda _content, name, **_: [type(frame)(times[name], frame.grid, frame.rate_mmh_HW, "RW")],
    )
    assert [ingest_file(b"dry", store, name=name).stored for name in times] == [1, 1]
    assert len(store.scans()) == 2


def test_a_forecast_in_a_file_is_kept_apart(store, radolan):
    outcome = ingest_file(radolan / "composite_rv_20250923_0855.tar", store)
    assert (outcome.stored, outcome.forecasts, outcome.rejected) == (1, 1, None)
    (scan,) = store.scans()
    assert scan.valid_time == datetime(2025, 9, 23, 8, 55, tzinfo=UTC)
    assert ingest_file(radolan / "composite_rv_20250923_0855.tar", store).duplicates == 2
    assert len(list((store.home / "others").rglob("*.nc"))) == 1


def test_bad_files_are_quarantined_with_the_reason_and_the_originals_stay(store, radolan, tmp_path):
    content = (radolan / RY).read_bytes()
    bad = {
        "cut.gz": content[:4000],
        "cut": gzip.decompress(content)[:500_000],
        "empty": b"",
        "foreign.gz": gzip.compress(b"%PDF-1.7 a bill"),
        "picture.png": b"\x89PNG\r\n\x1a\n" + bytes(100),
        "half.tar": (radolan / "composite_rv_20250923_0855.tar").read_bytes()[:50_000],
    }
    for name, wrong in bad.items():
        path = tmp_path / name
        path.write_bytes(wrong)
        outcome = ingest_file(path, store)
        assert outcome.rejected is not None, name
        assert name in outcome.rejected
        assert (outcome.stored, outcome.duplicates) == (0, 0)
        assert path.read_bytes() == wrong
    reasons = quarantined(store)
    assert sorted(reasons) == sorted(bad)
    assert all("expected" in reason or "cut" in reason for reason in reasons.values()), reasons
    assert store.scans() == []
    assert ingest_file(radolan / RY, store).stored == 1


def test_products_without_rain_rates_are_refused_by_name(store, radolan):
    for name, product in {"RE2210180700_060.gz": "RE", "raa01-pg_10000-1408102045-dwd---bin.gz": "PG"}.items():
        outcome = ingest_file(radolan / name, store)
        assert outcome.rejected is not None
        assert product in outcome.rejected


def test_a_file_that_may_still_grow_is_not_quarantined(store, radolan):
    outcome = ingest_file((radolan / RY).read_bytes()[:4000], store, name="growing.gz", final=False)
    assert outcome.rejected is not None
    assert not (store.home / "quarantine").exists()
    assert ingest_file((radolan / RY).read_bytes(), store, name="growing.gz", final=False).stored == 1


def test_a_rejected_file_may_be_understood_later(store, radolan, monkeypatch):
    content = (radolan / RY).read_bytes()
    with monkeypatch.context() as patch:
        patch.setattr(pipeline, "read_frames", lambda *_, **__: 1 / 0)
        outcome = ingest_file(content, store, name="ry.gz")
    assert outcome.rejected == "ry.gz: the reader failed: ZeroDivisionError: division by zero"
    assert "ry.gz" in quarantined(store)
    assert ingest_file(content, store, name="ry.gz").stored == 1


def test_a_file_that_is_not_there_is_rejected_and_not_quarantined(store, tmp_path):
    outcome = ingest_file(tmp_path / "gone.gz", store)
    assert outcome.rejected == "gone.gz: cannot be read: No such file or directory"
    assert not (store.home / "quarantine").exists()


def test_of_a_file_over_the_limit_only_the_start_is_kept(store, tmp_path, monkeypatch):
    monkeypatch.setattr(pipeline, "MAX_FILE_BYTES", 10_000)
    path = tmp_path / "large"
    path.write_bytes(bytes(20_000))
    assert ingest_file(path, store).rejected == "large: expected at most 10,000 bytes, got 20,000"
    (kept,) = (path for path in (store.home / "quarantine").iterdir() if path.name.endswith("_large"))
    assert kept.stat().st_size == 4096


def test_a_scan_from_the_future_does_not_become_the_newest(store, radolan):
    raw = gzip.decompress((radolan / RY).read_bytes())
    assert raw.startswith(b"RY011500100000120")
    outcome = ingest_file(raw.replace(b"RY011500100000120", b"RY011500100000168", 1), store, name="odd")
    assert outcome.rejected is not None
    assert "got one of 2068-01-01T15:00:00Z" in outcome.rejected
    assert store.latest() is None


def test_a_store_that_is_down_is_no_fault_of_the_file(store, radolan, monkeypatch):
    def fail(*_: object, **__: object) -> bool:
        raise UnavailableError("disk full")

    with monkeypatch.context() as patch:
        patch.setattr(store, "put_file", fail)
        with pytest.raises(UnavailableError, match="disk full"):
            ingest_file(radolan / RY, store)
    assert not (store.home / "quarantine").exists()
    assert ingest_file(radolan / RY, store).stored == 1, "what was not stored is not remembered"


def test_each_file_is_one_structured_line(store, radolan, caplog):
    caplog.set_level(logging.INFO, "ingest.store.intake")
    ingest_file(radolan / RY, store)
    ingest_file(b"no", store, name='odd "name"\n')
    lines = [record.getMessage() for record in caplog.records if record.name == "ingest.store.intake"]
    assert [line.split(" ", 1)[0] for line in lines] == ["ingested", "rejected"]
    record = json.loads(lines[0].split(" ", 1)[1])
    assert (record["file"], record["stored"], record["newest"]) == (Path(RY).name, 1, "2020-01-01T15:00:00Z")
    assert "\n" not in lines[1]


def test_no_real_file_stops_the_pipeline(store, radolan):
    files = [path for path in radolan.iterdir() if path.is_file()]
    outcomes = {path.name: ingest_file(path, store) for path in files}
    refused = {name for name, outcome in outcomes.items() if outcome.rejected is not None}
    assert {name for name in refused if not name.startswith("RE22")} == {
        "README.md",
        "expected_values.json",
        "raa01-pg_10000-1408102045-dwd---bin.gz",
    }
    assert set(store.products()) >= {"RX", "RY", "RZ", "RW", "SF", "WX", "EX", "YW", "RV"}
    assert all(outcome.rejected is None or name in quarantined(store) for name, outcome in outcomes.items())


def test_a_file_that_ends_the_process_is_refused_unread_once_it_ended_another(store, small_scan, monkeypatch):
    """The process reads again what was not read to its end: it must not do so for ever."""
    hostile, good = small_scan
    sha256 = end_while_reading(store, hostile)
    apart: list[object] = []
    broken = BrokenDecodingError("loop.h5: decoding ended with SIGSEGV")
    with monkeypatch.context() as patched:
        patched.setattr(attempts, "DecoderProcess", lambda *_: Apart(broken, apart))
        patched.setattr(pipeline, "read_frames", lambda *_, **__: pytest.fail("it was read again"))
        outcome = ingest_file(hostile, store, name="loop.h5")
        again = ingest_file(hostile, store, name="loop.h5")
    assert outcome.kind == again.kind == "damaged"
    assert apart == [[(0, UploadedFile("loop.h5", hostile))]]
    assert ingest_file(good, store, name="good").stored == 1
    assert [path.name for path in (store.home / attempts.FOLDER).iterdir()] == [sha256]


def test_a_good_file_is_stored_although_the_process_was_killed_by_chance_while_it_was_read(
    store, small_scan, monkeypatch
):
    """By a restart of the machine."""
    content, _ = small_scan
    (store.home / attempts.FOLDER).mkdir()
    (store.home / attempts.FOLDER / hashlib.sha256(content).hexdigest()).write_text("5")
    with monkeypatch.context() as patched:  # stopped with the service: no attempt of the file
        patched.setattr(attempts, "DecoderProcess", lambda *_: Apart(UnavailableError("stopped"), []))
        for _ in range(attempts.MOST):
            with pytest.raises(UnavailableError):
                ingest_file(content, store, name="scan")
    monkeypatch.setattr(attempts, "DecoderProcess", lambda *_: Apart(None, []))
    assert ingest_file(content, store, name="scan").stored == 1
    assert not list((store.home / attempts.FOLDER).iterdir())


def test_after_ten_attempts_without_an_end_a_file_is_refused_whatever_it_does_apart(store, small_scan):
    content, _ = small_scan
    (store.home / attempts.FOLDER).mkdir()
    (store.home / attempts.FOLDER / hashlib.sha256(content).hexdigest()).write_text("10")
    assert ingest_file(content, store, name="scan").kind == "damaged"


def test_what_stands_in_the_place_of_the_notes_ends_nothing(store, small_scan):
    (store.home / attempts.FOLDER).write_text("a file")
    assert ingest_file(small_scan[0], store, name="scan").stored == 1


def end_while_reading(store: Store, content: bytes) -> str:
    """Begin to read a file in a process that ends meanwhile, as the watchdog ends it; return the file's digest."""
    code = (
        "import sys; from pathlib import Path; from ingest.store import attempts\n"
        "with attempts.attempt(Path(sys.argv[1]), sys.argv[2], 'loop.h5', b'', limit_s=0.2):\n"
        "    import time; time.sleep(60)"
    )
    sha256 = hashlib.sha256(content).hexdigest()
    done = subprocess.run([sys.executable, "-c", code, str(store.home), sha256], capture_output=True, check=False)
    assert done.returncode == 1, "the watchdog ended it"
    assert b"Timeout" in done.stderr
    return sha256


class Apart:
    """The process of its own of a file: it raises an error, or reads the file."""

    def __init__(self, error: Exception | None, files: list[object]) -> None:
        self._error, self._files = error, files

    def decode(self, files: object, _limits: object) -> None:
        self._files.append(files)
        if self._error:
            raise self._error

    def close(self) -> None:
        pass


def test_a_file_is_read_within_the_time_limit_of_one_file(store, small_scan, monkeypatch):
    """Without the limit a nested HDF5 file keeps all others waiting."""
    armed: list[object] = []
    read = reading.read_frames

    def noted(*arguments: Any, **options: Any) -> list[RadarFrame]:
        armed.append("read")
        return read(*arguments, **options)

    monkeypatch.setattr(faulthandler, "dump_traceback_later", lambda most_s, **how: armed.append((most_s, how)))
    monkeypatch.setattr(pipeline, "read_frames", noted)
    monkeypatch.setattr(faulthandler, "cancel_dump_traceback_later", lambda: armed.append("over"))
    ingest_file(small_scan[1], store, name="good")
    assert armed == [(attempts.LIMIT_S, {"exit": True, "file": 2}), "read", "over"]
