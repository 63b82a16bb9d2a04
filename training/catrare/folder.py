"""Fields of RADKLIM YW in the order of time, from a folder of files and archives that is read once."""

import contextlib
import re
from bisect import bisect_left
from collections.abc import Iterator, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Final

from core.errors import ConfigError, FrameError
from core.frame import RadarFrame
from core.times import iso
from ingest.archive.pieces import Piece, pieces
from ingest.archive.units import Unit
from training.catrare.protocol import CADENCE_MINUTES, WindowTally, minutes_of

PIXEL_M: Final = 1000.0

_STAMP = re.compile(r"(?<!\d)(\d{12}|\d{10}|\d{8}|\d{6})(?!\d)")
_FORMATS: Final = (
    ("%Y%m%d%H%M", 0),
    ("%y%m%d%H%M", 0),
    ("%Y%m%d", 24 * 60),
    ("%y%m%d", 24 * 60),
    ("%Y%m", 31 * 24 * 60),
)
"""How names state times, and the minutes that such a file covers: a field, a day, a month."""

_DIGITS: Final = {"%Y%m%d%H%M": 12, "%y%m%d%H%M": 10, "%Y%m%d": 8, "%y%m%d": 6, "%Y%m": 6}
FIRST_YEAR: Final = 2000


def ordered_frames(folder: Path, wanted: Sequence[int], tally: WindowTally) -> Iterator[RadarFrame]:
    """Yield the fields of some times, each time once, in the order of time.

    Args:
        folder: files of DWD under their names, at any depth, also packed by day or month.
        wanted: minutes of the epoch, ascending; files of other times by their names are not opened.
        tally: receives what is not read.

    Raises:
        ConfigError: fields of another grid or interval, or files whose order by name is not that of time.
    """
    needed = set(wanted)
    last: RadarFrame | None = None
    for piece in _pieces(folder, wanted):
        for frame in _loaded(piece, tally):
            if minutes_of(frame.valid_time) not in needed or frame.is_forecast:
                continue
            if last is not None and frame.valid_time == last.valid_time:
                tally.repeated.add(minutes_of(frame.valid_time))
                continue
            _check(frame, last, f"{folder}: {piece.name}")
            last = frame
            yield frame


def _loaded(piece: Piece, tally: WindowTally) -> list[RadarFrame]:
    notes: list[str] = []
    try:
        return piece.load(notes)
    except FrameError as err:
        notes.append(str(err))
        return []
    finally:
        tally.unreadable.update(notes)


def _check(frame: RadarFrame, last: RadarFrame | None, name: str) -> None:
    """Raise if a field is not one of the series that the last one belongs to."""
    if frame.interval_minutes != CADENCE_MINUTES or abs(frame.grid.pixel_m - PIXEL_M) > 1:
        raise ConfigError(
            f"{name}: expected sums of {CADENCE_MINUTES} minutes on cells of 1 km, as RADKLIM YW has them, got "
            f"{frame.product} of {frame.interval_minutes:g} minutes on cells of {frame.grid.pixel_m / 1000:g} km"
        )
    if last is None:
        return
    if frame.valid_time < last.valid_time:
        raise ConfigError(
            f"{name}: expected files whose order by name is the order of time, got {iso(frame.valid_time)} after "
            f"{iso(last.valid_time)}"
        )
    if frame.grid is not last.grid and not frame.grid.same_place(last.grid):
        raise ConfigError(f"{name}: expected the grid {last.grid.name} of the files before, got {frame.grid.name}")


def _pieces(folder: Path, wanted: Sequence[int]) -> Iterator[Piece]:
    """Yield the radar files of a folder and of the archives in it, without those of other times by their names."""
    files = sorted(path.relative_to(folder) for path in folder.rglob("*") if path.is_file())
    for relative in files:
        name = relative.as_posix()
        if any(part.startswith(".") for part in relative.parts) or not _any_within(wanted, name):
            continue
        unit = Unit((name,), (), (folder / relative).stat().st_size, "")
        yield from (piece for piece in pieces(unit, folder) if _any_within(wanted, piece.name))


def _any_within(wanted: Sequence[int], name: str) -> bool:
    """Return whether a file can hold a wanted time; its name may state a time, a day or a month, or nothing."""
    period = stated_period(name)
    if period is None:
        return True
    at = bisect_left(wanted, period[0])
    return at < len(wanted) and wanted[at] <= period[1]


def stated_period(name: str) -> tuple[int, int] | None:
    """Return the first and last minute that a file's name states: `raa01-yw..-1906110050-..`, `YW2017.002_201906`.

    None without a time, and for what can be two (`201206` is a month or a day). A field has its file's name and number.
    """
    file, _, last = name.rpartition("/")
    found = _STAMP.search(file.rpartition("/")[2] if last.isdigit() else last)
    if found is None:
        return None
    periods = []
    for pattern, long_minutes in _FORMATS:
        if _DIGITS[pattern] != len(found[1]):
            continue
        with contextlib.suppress(ValueError):
            time = datetime.strptime(found[1], pattern).replace(tzinfo=UTC)
            periods += [(minutes_of(time), minutes_of(time) + long_minutes)] if time.year >= FIRST_YEAR else []
    return periods[0] if len(periods) == 1 else None
