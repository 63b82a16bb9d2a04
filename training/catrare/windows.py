"""Windows of the benchmark: cut-outs around events, from a folder of RADKLIM YW that is read once, in order of time."""

import re
from bisect import bisect_left
from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Final

import numpy as np

from core.arrays import Float32Field
from core.errors import ConfigError, FrameError
from core.frame import RadarFrame
from core.grid import Grid
from core.times import iso
from ingest.archive.pieces import Piece, pieces
from ingest.archive.units import Unit
from training.catrare.catalogue import YEARS, CatalogueEvent

CADENCE_MINUTES: Final = 5
HOUR_STEPS: Final = 12
LEAST_PAST: Final = 5
PIXEL_M: Final = 1000.0
MOST_NAMED: Final = 20
"""Files and events that a report names one by one; it counts the others."""

_STAMP = re.compile(r"(?<!\d)(\d{12}|\d{10}|\d{8}|\d{6})(?!\d)")
_LONG_MINUTES: Final = {12: 0, 10: 0, 8: 24 * 60, 6: 31 * 24 * 60}
"""Minutes that a file covers, by the number of digits of the time in its name: a field, a day, a month."""


@dataclass(frozen=True)
class CatrareProtocol:
    """What is scored.

    Attributes:
        years: in which the events start.
        thresholds_mm: sums of an hour that are events of the score.
        size_cells: edge of the cut-outs in grid cells of 1 km.
        past_fields: most input fields; a forecast starts from all that precede it without a gap, at least five.
        every_minutes: time between two reference times of an event.
    """

    years: tuple[int, ...] = YEARS
    thresholds_mm: tuple[float, ...] = (5.0, 10.0, 15.0, 20.0)
    size_cells: int = 256
    past_fields: int = 25
    every_minutes: int = CADENCE_MINUTES

    def __post_init__(self) -> None:
        if self.every_minutes < CADENCE_MINUTES or self.every_minutes % CADENCE_MINUTES:
            raise ConfigError(f"every_minutes: expected a multiple of {CADENCE_MINUTES}, got {self.every_minutes}")
        if self.past_fields < LEAST_PAST or self.size_cells < 1 or not self.thresholds_mm or not self.years:
            raise ConfigError(
                f"expected past_fields of {LEAST_PAST} or more, size_cells of 1 or more, a threshold and a year, got "
                f"{self.past_fields}, {self.size_cells}, {self.thresholds_mm}, {self.years}"
            )

    def reference_minutes(self, event: CatalogueEvent) -> range:
        """Return the reference times of an event in minutes of the epoch: the hour after them overlaps the event."""
        start = -(-_minutes(event.start) // CADENCE_MINUTES) * CADENCE_MINUTES
        return range(start - 60 + CADENCE_MINUTES, _minutes(event.end), self.every_minutes)


@dataclass(frozen=True)
class HourWindow:
    """Input and observation of one forecast of the next hour.

    Attributes:
        event: around whose place the fields are cut.
        reference_time: time of the newest input field.
        past_THW: mm/h every five minutes, NaN where not observed, row 0 in the north.
        observed_mm_HW: sum of the next hour; NaN where one of its twelve fields is not observed.
    """

    event: CatalogueEvent
    reference_time: datetime
    past_THW: Float32Field
    observed_mm_HW: Float32Field


@dataclass
class WindowTally:
    """What became of the windows that the catalogue asks for.

    Attributes:
        planned: reference times of all events.
        complete: windows with all their fields.
        uncovered: windows whose cut-out has no observed cell in the newest field, in all others, or in the hour.
        outside: names of the events whose place is not on the grid; their windows are not complete.
        unreadable: files that could not be read, with the reason.
        repeated: fields of a time that was read before, which are not used.
    """

    planned: int = 0
    complete: int = 0
    uncovered: int = 0
    outside: set[str] = field(default_factory=set)
    unreadable: list[str] = field(default_factory=list)
    repeated: int = 0

    @property
    def incomplete(self) -> int:
        """Return the number of windows that lack a field, or whose event is not on the grid."""
        return self.planned - self.complete - self.uncovered


class HourWindows:
    """All windows of some events, lazily; the memory holds the fields of three hours, whatever their number.

    Attributes:
        tally: complete once all windows are read.
    """

    def __init__(self, folder: Path, events: Sequence[CatalogueEvent], protocol: CatrareProtocol) -> None:
        if not folder.exists():
            raise ConfigError(f"--data {folder}: expected a folder of RADKLIM YW, got nothing there")
        self.tally = WindowTally()
        self._folder, self._protocol = folder, protocol
        self._events: dict[int, list[CatalogueEvent]] = defaultdict(list)
        for event in events:
            for minute in protocol.reference_minutes(event):
                self._events[minute].append(event)
                self.tally.planned += 1
        self._grid: Grid | None = None

    def __iter__(self) -> Iterator[HourWindow]:
        """Yield the windows in the order of their reference times.

        Raises:
            ConfigError: fields of another grid or interval, or files whose order by name is not that of time.
        """
        recent: dict[int, RadarFrame] = {}
        for frame in self._frames():
            newest = _minutes(frame.valid_time)
            recent[newest] = frame
            oldest = newest - (self._protocol.past_fields - 1 + HOUR_STEPS) * CADENCE_MINUTES
            recent = {minute: one for minute, one in recent.items() if minute >= oldest}
            yield from self._windows(newest - 60, recent)

    def _windows(self, reference: int, recent: dict[int, RadarFrame]) -> Iterator[HourWindow]:
        past, hour = self._past(reference, recent), [recent.get(reference + 5 * n) for n in range(1, HOUR_STEPS + 1)]
        future = [frame for frame in hour if frame is not None]
        if reference not in self._events or len(future) < HOUR_STEPS or len(past) < LEAST_PAST:
            return
        for event in self._events[reference]:
            rows_cols = self._cut(event, past[-1].grid)
            if rows_cols is None:
                self.tally.outside.add(event.name)
                continue
            past_THW = np.stack([frame.rate_mmh_HW[rows_cols] for frame in past])
            hour_THW = np.stack([frame.rate_mmh_HW[rows_cols] for frame in future])
            # YW counts hundredths of a mm: rounded, a sum of 5.00 mm reaches 5 mm
            observed_mm_HW = np.asarray(np.round(hour_THW.mean(axis=0, dtype=np.float64), 3), np.float32)
            seen_T = [bool(np.isfinite(field_HW).any()) for field_HW in past_THW]
            if not (seen_T[-1] and any(seen_T[:-1]) and np.isfinite(observed_mm_HW).any()):
                self.tally.uncovered += 1
                continue
            self.tally.complete += 1
            yield HourWindow(event, past[-1].valid_time, past_THW, observed_mm_HW)

    def _past(self, reference: int, recent: dict[int, RadarFrame]) -> list[RadarFrame]:
        """Return the fields up to the reference time that follow each other without a gap, the newest last."""
        found: list[RadarFrame] = []
        while len(found) < self._protocol.past_fields and (frame := recent.get(reference - 5 * len(found))) is not None:
            found.append(frame)
        return found[::-1]

    def _cut(self, event: CatalogueEvent, grid: Grid) -> tuple[slice, slice] | None:
        """Return the rows and columns of a cut-out, moved inwards at the edge of the grid; None outside of the grid."""
        cell = grid.cell_of(event.lat, event.lon)
        if cell is None:
            return None
        edges = [min(self._protocol.size_cells, size) for size in grid.shape]
        firsts = [
            min(max(at - edge // 2, 0), size - edge) for at, edge, size in zip(cell, edges, grid.shape, strict=True)
        ]
        rows, cols = (slice(first, first + edge) for first, edge in zip(firsts, edges, strict=True))
        return rows, cols

    def _frames(self) -> Iterator[RadarFrame]:
        """Yield the fields that any window uses, each time once, in the order of time."""
        wanted = self._wanted_minutes()
        needed = set(wanted)
        last: RadarFrame | None = None
        for piece in _pieces(self._folder, wanted):
            for frame in self._loaded(piece):
                if _minutes(frame.valid_time) not in needed or frame.is_forecast:
                    continue
                if last is not None and frame.valid_time < last.valid_time:
                    raise ConfigError(
                        f"{self._folder}: expected files whose order by name is the order of time, got "
                        f"{iso(frame.valid_time)} in {piece.name} after {iso(last.valid_time)}"
                    )
                if last is not None and frame.valid_time == last.valid_time:
                    self.tally.repeated += 1
                    continue
                self._check(frame, piece.name)
                last = frame
                yield frame

    def _wanted_minutes(self) -> list[int]:
        steps = CADENCE_MINUTES * np.arange(1 - self._protocol.past_fields, HOUR_STEPS + 1)
        minutes = np.array(sorted(self._events), np.int64)[:, None] + steps
        return [int(minute) for minute in np.unique(minutes)]

    def _loaded(self, piece: Piece) -> list[RadarFrame]:
        try:
            return piece.load([])
        except FrameError as err:
            self.tally.unreadable.append(str(err))
            return []

    def _check(self, frame: RadarFrame, name: str) -> None:
        if frame.interval_minutes != CADENCE_MINUTES or abs(frame.grid.pixel_m - PIXEL_M) > 1:
            raise ConfigError(
                f"{name}: expected sums of {CADENCE_MINUTES} minutes on cells of 1 km, as RADKLIM YW has them, got "
                f"{frame.product} of {frame.interval_minutes:g} minutes on cells of {frame.grid.pixel_m / 1000:g} km"
            )
        if self._grid is None:
            self._grid = frame.grid
        if frame.grid is not self._grid and not frame.grid.same_place(self._grid):
            raise ConfigError(f"{name}: expected the grid {self._grid.name} of the files before, got {frame.grid.name}")


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
    period = _period(name)
    if period is None:
        return True
    at = bisect_left(wanted, period[0])
    return at < len(wanted) and wanted[at] <= period[1]


def _period(name: str) -> tuple[int, int] | None:
    """Return the first and last minute that a file's name states: `raa01-yw..-1906110050-..`, `YW2017.002_201906`."""
    found = _STAMP.search(name.rpartition("/")[2])
    if found is None:
        return None
    digits = found[1]
    text = {12: digits, 10: f"20{digits}", 8: f"{digits}0000", 6: f"{digits}010000"}[len(digits)]
    try:
        first = _minutes(datetime.strptime(text, "%Y%m%d%H%M").replace(tzinfo=UTC))
    except ValueError:
        return None
    return first, first + _LONG_MINUTES[len(digits)]


def _minutes(time: datetime) -> int:
    return int(time.timestamp() // 60)
