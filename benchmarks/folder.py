"""A day of radar files in a folder: the time until all are stored, next to a bare loop that reads them with wradlib."""

import gzip
import io
import shutil
import tempfile
import threading
from datetime import UTC, datetime, timedelta
from functools import partial
from pathlib import Path
from typing import Final

import numpy as np
import wradlib

from benchmarks.page import BENCHMARKS, Goal, Row, Section
from benchmarks.setting import BenchmarkSetting
from benchmarks.timing import compare
from core.files import write_bytes_atomically
from ingest.sources.directory import DirectorySource
from ingest.store.live import Store
from ingest.synthetic import weather
from ingest.worker.loop import IngestWorker
from ingest.writers.radolan import ry_bytes, ry_file_name

START: Final = datetime(2024, 6, 1, tzinfo=UTC)
DAY: Final = 288
INVENTED: Final = 12
"""Distinct fields; each is shifted by another number of cells for the other times of the day, which is quicker."""

TEXT: Final = (
    "One look of the ingest worker at a folder of gzipped RADOLAN RY files (900 x 900 cells, one day every 5 minutes): "
    "each is read, checked, written as NetCDF, synced and entered into the catalogue. The bare loop reads the "
    "same files with wradlib and keeps nothing."
)


@BENCHMARKS.register("folder")
def folder(setting: BenchmarkSetting) -> Section:
    """Measure a day of files, or a part of it in a smaller setting."""
    count = max(2, round(DAY * setting.scale))
    with tempfile.TemporaryDirectory() as name:
        source, home = Path(name) / "in", Path(name) / "home"
        write_day(source, count)
        ours, bare = ("worker", partial(ingest, source, home)), ("wradlib", partial(read, source))
        result = compare(f"ingest {count} RY files", ours, bare, runs=setting.runs)
    row: Row = {
        "files": count,
        "bare loop of wradlib, s": result.theirs_s,
        "stored, s": result.ours_s,
        "s a file": result.ours_s / count,
        "pairs": result.runs,
    }
    goal = Goal("a day of files in a folder is stored", 30.0, result.ours_s, "s", at_least=False)
    return Section("A day of files in a folder", TEXT, [row], [goal] if setting.scale == 1 else ())


def write_day(folder: Path, count: int) -> None:
    """Write `count` files of 5 minutes each."""
    frames = list(weather(START, (min(count, INVENTED) - 1) / 12, seed=1))
    for number in range(count):
        round_, index = divmod(number, len(frames))
        rate_mmh_HW = np.roll(frames[index].rate_mmh_HW, 7 * round_, axis=1)
        valid_time = START + timedelta(minutes=5 * number)
        content = gzip.compress(ry_bytes(rate_mmh_HW, valid_time), 6)
        write_bytes_atomically(folder / ry_file_name(valid_time), content)


def ingest(folder: Path, home: Path) -> None:
    """Store all files of the folder in an empty store, as `python -m ingest.run --source FOLDER --once` does.

    Raises:
        RuntimeError: not all files were stored.
    """
    shutil.rmtree(home, ignore_errors=True)
    store = Store(home, synced=True)
    worker = IngestWorker(DirectorySource(folder, trust_age=True), store, list, threading.Event())
    worker.run_once()
    files = len(list(folder.iterdir()))
    if len(store.scans()) != files:
        raise RuntimeError(f"expected {files} stored scans, got {len(store.scans())}")


def read(folder: Path) -> None:
    """Read all files of the folder with wradlib."""
    for path in sorted(folder.iterdir()):
        wradlib.io.read_radolan_composite(io.BytesIO(gzip.decompress(path.read_bytes())))
