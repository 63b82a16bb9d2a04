"""Replay of radar files into the watched folder as if they were live: recorded files, or a synthetic radar day."""

import shutil
import time
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from functools import partial
from itertools import count
from pathlib import Path
from typing import Final

from core.errors import ConfigError, NowcastError
from core.files import write_atomically, write_bytes_atomically
from core.times import stamp
from ingest.readers import read_frames
from ingest.sources.history import HISTORY_MARK
from ingest.synthetic import weather
from ingest.writers.radolan import INVENTED, ry_file_name, write_ry

HISTORY: Final = timedelta(hours=2, minutes=30)
"""What is written at once, so that a first forecast is possible: the two hours of a window and a little more."""

LONGEST_GAP: Final = timedelta(hours=1)
STEP_MINUTES: Final = 5


@dataclass(frozen=True)
class PlayedScan:
    """One file of a replay: its time, its name, and how to write it."""

    valid_time: datetime
    name: str
    write: Callable[[Path], object]


def recorded(folder: Path) -> Iterator[PlayedScan]:
    """Yield the radar files of a folder in order of time; unreadable files are reported and left out.

    Raises:
        ConfigError: no file of the folder can be read.
    """
    found = sorted(filter(None, map(_scan_of, sorted(folder.iterdir()))), key=lambda scan: (scan.valid_time, scan.name))
    if not found:
        raise ConfigError(f"{folder}: expected radar files of a known format, got none")
    yield from found


def _scan_of(file: Path) -> PlayedScan | None:
    if not file.is_file() or file.name.startswith("."):
        return None
    try:
        valid_time = min(frame.valid_time for frame in read_frames(file, name=file.name))
    except NowcastError as err:
        print(f"left out {file.name}: {err}", flush=True)
        return None
    return PlayedScan(valid_time, file.name, partial(_copy, file))


def _copy(file: Path, target: Path) -> None:
    write_atomically(target, lambda temporary: shutil.copyfile(file, temporary))


def invented(inbox: Path, start: datetime) -> Iterator[PlayedScan]:
    """Yield synthetic weather from `start` on, without the scans that the folder has already."""
    for minutes in count(0, STEP_MINUTES):
        valid_time = start + timedelta(minutes=minutes)
        if not (inbox / ry_file_name(valid_time)).exists():
            yield PlayedScan(valid_time, ry_file_name(valid_time), partial(_invent, valid_time))


def day_start(now: datetime) -> datetime:
    """Return yesterday at 00 UTC, so that a whole day is played before the present is reached."""
    return datetime(now.year, now.month, now.day, tzinfo=UTC) - timedelta(days=1)


def _invent(valid_time: datetime, target: Path) -> None:
    (frame,) = weather(valid_time, hours=0)
    write_ry(target, frame.rate_mmh_HW, valid_time, software=INVENTED)


def play(
    scans: Iterable[PlayedScan],
    inbox: Path,
    speed: float,
    history_end: datetime | None = None,
    *,
    hold: Callable[[datetime], object] | None = None,
    clock: Callable[[], datetime] = lambda: datetime.now(UTC),
    wait: Callable[[float], None] = time.sleep,
) -> int:
    """Write each scan when its time is reached, and return their number.

    Scans up to `history_end` (None: the first 2.5 hours) are written at once. Then time runs `speed` times as fast as
    the clock, a gap of more than an hour is shortened to an hour, and no scan is written before its own time: once the
    replay has reached the present, it goes on at the pace of live radar.

    Args:
        scans: in order of time.
        inbox: the watched folder.
        speed: replayed minutes per minute, at most.
        history_end: see above.
        hold: called with the time of the last scan before a scan of a later time is written; the replay stands still
            until it returns, and does not catch up on that time.
        clock: returns the present time.
        wait: sleeps for a number of seconds.
    """
    history: list[str] = []
    played, next_at, last_time = 0, clock(), None
    for scan in scans:
        history_end = history_end or scan.valid_time + HISTORY
        if scan.valid_time > history_end:
            _mark_history(inbox, history)
            if hold is not None and last_time is not None and scan.valid_time > last_time:
                hold(last_time)
                next_at = max(next_at, clock() - timedelta(minutes=STEP_MINUTES) / speed)
            gap = min(scan.valid_time - (last_time or scan.valid_time), LONGEST_GAP)
            next_at = max(next_at + gap / speed, scan.valid_time)
            wait(max(0.0, (next_at - clock()).total_seconds()))
        else:
            history.append(stamp(scan.valid_time))
        scan.write(inbox / scan.name)
        print(f"scan of {scan.valid_time:%Y-%m-%d %H:%M} UTC", flush=True)
        played, last_time = played + 1, scan.valid_time
    _mark_history(inbox, history)
    return played


def _mark_history(inbox: Path, history: list[str]) -> None:
    """Write the mark of a complete history once."""
    if history:
        write_bytes_atomically(inbox / HISTORY_MARK, "\n".join(history).encode())
        history.clear()
