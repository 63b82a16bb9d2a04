"""The running system: time until it is ready, and time from a new scan to its visible forecast."""

import gzip
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, Final

from benchmarks.page import BENCHMARKS, Goal, Row, Section
from benchmarks.setting import BenchmarkSetting
from core.errors import UnavailableError
from ingest.synthetic import weather
from ingest.writers.radolan import ry_bytes, ry_file_name
from service.process.broker import free_port

PATIENCE_S: Final = 180.0
LOOK_S: Final = 0.05
HISTORY_H: Final = 2.0
PAUSE_S: Final = 10.0
"""Seconds between two scans; a radar's own five minutes would leave the machine even more time."""

Scan = tuple[datetime, bytes]
"""Valid time and content of a file."""

TEXT: Final = (
    "`python -m service.run --source FOLDER` with the default model and the scans of the past two hours (RADOLAN RY, "
    "900 x 900 cells, every 5 minutes, gzipped) in its folder. Ready is when `/readyz` answers 200, counted from the "
    "start of the command: model loaded and run once, scans read, queue and worker running. Then a new scan is renamed "
    "into the folder every {pause:g} s, and the time counts until `GET /nowcast/latest` returns the forecast from it; "
    "their times run ahead of the clock, since five minutes are not waited for; "
    "persistence and extrapolation are made and stored with it, and each forecast is also written on the source's "
    "grid of 1 km (`NOWCAST_WRITE_SOURCE_GRID`)."
)


@BENCHMARKS.register("live")
def live(setting: BenchmarkSetting) -> Section:
    """Measure one start, then some scans."""
    past, coming = _scans(2 + setting.runs)
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name) / "in"
        folder.mkdir()
        for scan in past:
            _land(folder, *scan)
        began = time.perf_counter()
        with _running(Path(name), folder) as url:
            _wait(lambda: _get(url + "/readyz") is not None, "200 from /readyz")
            ready_s = time.perf_counter() - began
            _wait(lambda: _reference_time(url) == past[-1][0], "forecast of the newest scan")
            first_s = time.perf_counter() - began
            visible_s = [_visible(url, folder, *scan) for scan in coming]
    rows: list[Row] = [
        {"what": "started, to ready", "median, s": ready_s, "slowest, s": ready_s, "of": 1},
        {"what": "started, to the first forecast", "median, s": first_s, "slowest, s": first_s, "of": 1},
        {
            "what": "scan landed, to its forecast visible",
            "median, s": statistics.median(visible_s),
            "slowest, s": max(visible_s),
            "of": len(visible_s),
        },
    ]
    goals = [
        Goal("cold start to ready", 15.0, ready_s, "s", at_least=False),
        Goal("a scan that landed to its forecast visible, 1 km written", 15.0, max(visible_s), "s", at_least=False),
    ]
    return Section("The running system", TEXT.format(pause=PAUSE_S), rows, goals if setting.scale == 1 else ())


def _scans(count: int) -> tuple[list[Scan], list[Scan]]:
    """Return the scans of the past hours and `count` scans after them, which are ahead of the clock."""
    now = datetime.now(UTC).replace(second=0, microsecond=0)
    start = now - timedelta(minutes=now.minute % 5, hours=HISTORY_H)
    scans = [
        (frame.valid_time, gzip.compress(ry_bytes(frame.rate_mmh_HW, frame.valid_time), 1))
        for frame in weather(start, HISTORY_H + count / 12, seed=1)
    ]
    return scans[:-count], scans[-count:]


def _land(folder: Path, at: datetime, content: bytes) -> None:
    part = folder.with_name("part")
    part.write_bytes(content)
    part.rename(folder / f"{ry_file_name(at)}.gz")


def _visible(url: str, folder: Path, at: datetime, content: bytes) -> float:
    time.sleep(PAUSE_S)  # the previous cycle ends first, as with scans every five minutes
    start = time.perf_counter()
    _land(folder, at, content)
    _wait(lambda: _reference_time(url) == at, f"forecast of the scan of {at}")
    return time.perf_counter() - start


@contextmanager
def _running(home: Path, source: Path) -> Iterator[str]:
    port = free_port("127.0.0.1")
    command = [sys.executable, "-m", "service.run", "--source", str(source), "--port", str(port)]
    variables = {"NOWCAST_HOME": str(home / "var"), "NOWCAST_WRITE_SOURCE_GRID": "true"}
    with (home / "log").open("wb") as log:
        process = subprocess.Popen(command, env={**os.environ, **variables}, stdout=log, stderr=subprocess.STDOUT)
    try:
        yield f"http://127.0.0.1:{port}"
    finally:
        process.terminate()
        process.wait(60)


def _get(url: str) -> Any:
    with suppress(OSError, urllib.error.HTTPError), urllib.request.urlopen(url, timeout=10) as answer:
        return json.load(answer)
    return None


def _reference_time(url: str) -> datetime | None:
    latest = _get(url + "/nowcast/latest")
    return datetime.fromisoformat(latest["reference_time"]) if latest else None


def _wait(is_so: Callable[[], bool], awaited: str) -> None:
    deadline = time.perf_counter() + PATIENCE_S
    while not is_so():
        if time.perf_counter() > deadline:
            raise UnavailableError(f"no {awaited} within {PATIENCE_S:g} s")
        time.sleep(LOOK_S)
