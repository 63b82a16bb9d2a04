"""Time from a file in the watched folder to its scan in the store, with a running ingest process."""

import gzip
import os
import statistics
import subprocess
import sys
import tempfile
import time
from datetime import UTC, datetime, timedelta
from functools import partial
from pathlib import Path
from typing import Final

import numpy as np

from benchmarks.page import BENCHMARKS, Goal, Row, Section
from benchmarks.setting import BenchmarkSetting
from benchmarks.timing import seconds
from core.errors import UnavailableError
from ingest.readers import read_frames
from ingest.store.live import Store
from ingest.synthetic import weather
from ingest.writers.radolan import ry_bytes, ry_file_name

LOOK_S: Final = 0.01
PATIENCE_S: Final = 60.0
TEXT: Final = (
    "`python -m ingest.run --source FOLDER` runs; a gzipped RADOLAN RY file of 900 x 900 cells is renamed into its "
    "folder, and the time counts until the catalogue has the scan. The read time is that of `read_frames` alone. The "
    "first file, with which the process starts, does not count."
)


@BENCHMARKS.register("landing")
def landing(setting: BenchmarkSetting) -> Section:
    """Measure five-minute scans, one after the other."""
    with tempfile.TemporaryDirectory() as name:
        folder, home = Path(name) / "in", Path(name) / "home"
        folder.mkdir()
        scans = _scans(2 + 4 * setting.runs)
        read_s = statistics.median(seconds(partial(read_frames, content)) for content in scans.values())
        command = [sys.executable, "-m", "ingest.run", "--source", str(folder)]
        with subprocess.Popen(
            command, env={**os.environ, "NOWCAST_HOME": str(home)}, stderr=subprocess.DEVNULL
        ) as ingest:
            try:
                _, *landed_s = [_landed(folder, home, at, content) for at, content in scans.items()]
            finally:
                ingest.terminate()
    rows: list[Row] = [
        {
            "scans": len(landed_s),
            "reading, s": read_s,
            "landed to stored, s": statistics.median(landed_s),
            "slowest, s": max(landed_s),
        }
    ]
    goal = Goal("a landed scan is stored, beyond its read time", 1.0, max(landed_s) - read_s, "s", at_least=False)
    return Section("A scan that lands", TEXT, rows, [goal] if setting.scale == 1 else ())


def _scans(count: int) -> dict[datetime, bytes]:
    frames = weather(datetime(2024, 6, 1, 12, tzinfo=UTC), (count - 1) / 12, seed=1)
    return {
        frame.valid_time: gzip.compress(ry_bytes(np.nan_to_num(frame.rate_mmh_HW, nan=0.0), frame.valid_time))
        for frame in frames
    }


def _landed(folder: Path, home: Path, at: datetime, content: bytes) -> float:
    part = folder.with_name("part")
    part.write_bytes(content)
    start = time.perf_counter()
    part.rename(folder / ry_file_name(at))
    store = Store(home)
    while not store.scans(start=at, end=at + timedelta(seconds=1)):
        if time.perf_counter() - start > PATIENCE_S:
            raise UnavailableError(f"the scan of {at} was not stored within {PATIENCE_S:g} s")
        time.sleep(LOOK_S)
    return time.perf_counter() - start
