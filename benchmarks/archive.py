"""Building the training archive: fields per second next to a bare wradlib read loop, with one process and with two."""

import gzip
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path

import numpy as np
import wradlib

from benchmarks.page import BENCHMARKS, Goal, Row, Section
from benchmarks.setting import BenchmarkSetting
from core.grid import RADOLAN_900
from ingest.archive.staging import Target, stage
from ingest.archive.units import find_units
from ingest.synthetic import weather
from ingest.writers.radolan import ry_bytes, ry_file_name

DISTINCT = 24
FILES = 1536
LOOK_S = 0.2
YEAR_FIELDS = 105_120
"""Five-minute fields of a year."""

TEXT = (
    "Gzipped RADOLAN RY files of invented weather (900 x 900). The bare loop is `wradlib.io.read_radolan_composite` "
    "alone; the archive's side reads, checks, sums up, compresses and stores, in the same process. The whole build is "
    "`python -m ingest.archive build` with its start and its end; the gain of the second process is taken without the "
    "start, from two lengths of source. Memory is that of all processes together."
)


@BENCHMARKS.register("archive")
def archive(setting: BenchmarkSetting) -> Section:
    """Measure both rates on the same files, and whole builds."""
    files = max(int(FILES * setting.scale), 16)
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        paths = _write(folder / "in", files)
        pairs = [(_bare(paths), _stage(folder, number)) for number in range(setting.runs)]
        bare_s, stage_s = (float(s) for s in np.median(np.array(pairs), axis=0) / files)
        half = _write(folder / "half", files // 2)
        whole = {workers: _build(folder, "in", workers) for workers in (1, 2)}
        part = {workers: _build(folder, "half", workers) for workers in (1, 2)}
    more = len(paths) - len(half)
    gained = {workers: more / max(whole[workers][0] - part[workers][0], 1e-9) for workers in (1, 2)}
    rows: list[Row] = [{"work": "bare wradlib loop", "fields/s": 1 / bare_s}]
    rows += [{"work": "archive, one process, without its start", "fields/s": 1 / stage_s}]
    rows += [
        {
            "work": f"whole build of {files:,} files, {workers} processes",
            "fields/s": files / whole[workers][0],
            "fields/s without the start": gained[workers],
            "hours for a year": YEAR_FIELDS / gained[workers] / 3600,
            "MB": whole[workers][1],
        }
        for workers in (1, 2)
    ]
    goals = [
        Goal("archive building over a bare wradlib loop, per core", 0.5, bare_s / stage_s, "times", at_least=True),
        Goal("archive building, two processes over one", 1.7, gained[2] / gained[1], "times", at_least=True),
        Goal("memory of archive building", 1500, whole[2][1], "MB", at_least=False),
    ]
    return Section("Building the training archive", TEXT, rows, goals if setting.scale == 1 else ())


def _write(folder: Path, count: int) -> list[Path]:
    """Write files of distinct times; the weather repeats after `DISTINCT` of them."""
    start = datetime(2024, 6, 1, tzinfo=UTC)
    fields = [frame.rate_mmh_HW for frame in weather(start, (min(DISTINCT, count) - 1) / 12, seed=1)]
    folder.mkdir()
    for number in range(count):
        valid_time = start + timedelta(minutes=5 * number)
        content = gzip.compress(ry_bytes(fields[number % len(fields)], valid_time), 6, mtime=0)
        (folder / ry_file_name(valid_time)).write_bytes(content)
    return sorted(folder.iterdir())


def _bare(paths: Sequence[Path]) -> float:
    start = time.perf_counter()
    for path in paths:
        wradlib.io.read_radolan_composite(str(path))
    return time.perf_counter() - start


def _stage(folder: Path, number: int) -> float:
    work = folder / f"work{number}"
    work.mkdir()
    target = Target(work, folder / "in", RADOLAN_900, "RY")
    start = time.perf_counter()
    for unit in find_units(target.root):
        stage(unit, target)
    return time.perf_counter() - start


def _build(folder: Path, source: str, workers: int) -> tuple[float, float]:
    """Return seconds, and the peak memory of all processes together in MB (0 without /proc)."""
    out = folder / f"{source}{workers}.zarr"
    command = [sys.executable, "-m", "ingest.archive", "build", "--source", str(folder / source), "--out", str(out)]
    command += ["--workers", str(workers)]
    start, largest_mb = time.perf_counter(), 0.0
    with subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL) as process:
        while process.poll() is None:
            largest_mb = max(largest_mb, sum(map(_memory_mb, _family(process.pid))))
            time.sleep(LOOK_S)
    if process.returncode:
        raise RuntimeError(f"build: expected exit status 0, got {process.returncode}")
    return time.perf_counter() - start, largest_mb


def _family(pid: int) -> list[int]:
    """Return a process and all its descendants, as Linux lists them."""
    try:
        below = [
            int(child) for part in Path(f"/proc/{pid}/task").glob("*/children") for child in part.read_text().split()
        ]
    except OSError:
        return [pid]
    return [pid, *(one for child in below for one in _family(child))]


def _memory_mb(pid: int) -> float:
    try:
        return int(Path(f"/proc/{pid}/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE") / 2**20
    except (OSError, IndexError):
        return 0.0
