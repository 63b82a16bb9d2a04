"""Windows of real events for scores, read one after the other: the paper's cells and half hours, or the event's own."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Final

import numpy as np

from core.arrays import Float32Field
from core.cells import mean_edge_m
from core.errors import ConfigError
from core.grid import Grid
from training.datasets.event_table import EventTable, load_table
from training.datasets.field_cache import resize
from training.datasets.series import RadarSeries, open_series
from training.native_samples import blocks


@dataclass(frozen=True)
class WindowProtocol:
    """Which windows an event has, and what is in them.

    Attributes:
        shape: rows and columns that fields are resized to, bilinearly; None keeps the event's cells.
        cadence_minutes: between input fields; None is the event's own cadence.
        past_minutes: from the first input field to the reference time.
        fewest: input fields that a window has at least.
        lead_minutes: scored leads; those that are no multiple of the cadence are left out.
        every_minutes: reference times are multiples of it in UTC (60: full hours); None takes every scan.
        whole: whether the field of every lead has to be there; otherwise a missing one is not observed (NaN).
        amount_minutes: length of the first period, whose amount is scored instead of the rates; 0: rates.
        least_past_minutes: input fields of this time before the reference have to be there, older ones may be missing
            (NaN); None: all.
        least_future_minutes: the event covers this time after the reference time; None: up to the last lead.
        cell_factor: squares of so many cells of the event are averaged along each axis.
        most_cells: longer sides are cut to so many cells in the middle of the field; None keeps all.
    """

    name: str
    shape: tuple[int, int] | None
    cadence_minutes: int | None
    past_minutes: int
    fewest: int
    lead_minutes: tuple[int, ...]
    every_minutes: int | None
    whole: bool
    amount_minutes: int = 0
    least_past_minutes: int | None = None
    least_future_minutes: int | None = None
    cell_factor: int = 1
    most_cells: int | None = None


PAPER: Final = WindowProtocol("paper", (124, 124), 30, 120, 5, (30, 60, 90, 120, 150), None, whole=True)
"""The paper's Germany setting: 124 x 124 cells, 5 fields 30 minutes apart and the 5 after them, from every scan."""
NATIVE: Final = WindowProtocol("native", None, None, 120, 5, (5, 15, 30, 60, 90, 120, 150), 60, whole=False)
"""The event's own cells and cadence: all scans of the last two hours, leads up to 150 minutes, every full hour."""
ANY_LENGTH: Final = replace(NATIVE, name="any length", fewest=2, least_past_minutes=60, least_future_minutes=30)
"""As `NATIVE`, also of events that are shorter than the window and its leads: what is missing is NaN."""
HOUR: Final = replace(NATIVE, name="hour", lead_minutes=tuple(range(1, 61)), amount_minutes=60)
"""As `NATIVE`, but the amount of the next hour, from every scan of it."""


@dataclass(frozen=True)
class EventWindow:
    """Input and observation of one forecast, mm/h, NaN where not observed, row 0 in the north.

    Attributes:
        past_THW: input fields at the cadence, the last one of the reference time; a missing one is NaN, which only a
            protocol with `least_past_minutes` has.
        future_LHW: observed fields at the leads.
        lead_minutes: of `future_LHW`.
        pixel_m: mean edge of a cell.
        file: name of the event file.
        spell: name of its spell of weather; the file's stem where the event table does not have the file.
        grid: where the fields are; None if unknown.
    """

    past_THW: Float32Field
    future_LHW: Float32Field
    lead_minutes: tuple[int, ...]
    cadence_minutes: int
    pixel_m: float
    reference_time: datetime
    file: str
    spell: str
    grid: Grid | None = None


@dataclass(frozen=True)
class WindowCount:
    """How many windows an event has.

    Attributes:
        windows: reference times with all input fields.
        left_out: reference times within the event that a missing field excludes.
        missing_fields: fields of leads that are missing in the windows.
    """

    windows: int
    left_out: int
    missing_fields: int


def event_windows(
    path: str | Path,
    protocol: WindowProtocol,
    *,
    every_minutes: int | None = None,
    shard: tuple[int, int] = (0, 1),
    all_leads: bool = False,
    table: EventTable | None = None,
) -> Iterator[EventWindow]:
    """Yield the windows of an event file in the order of time; the fields of one window are in memory at a time.

    Args:
        path: the event file.
        protocol: `PAPER`, `NATIVE` or another.
        every_minutes: reference times are multiples of it in UTC; None is the protocol's own choice.
        shard: (n, of): every `of`-th window beginning with the n-th one, for processes that share an event.
        all_leads: take every multiple of the cadence up to the last lead instead of the scored ones.
        table: names the spell; None is the table of the package.

    Raises:
        FrameError: not an event file.
        ConfigError: `shard` or `every_minutes` is out of range.
    """
    series = open_series(path)
    plan = _plan(series, protocol, every_minutes, all_leads=all_leads)
    spell = spell_name(path, load_table() if table is None else table)
    part, parts = shard
    if not 0 <= part < parts:
        raise ConfigError(f"shard: expected (n, of) with 0 <= n < of, got {shard}")
    fields = _PassingFields(series, protocol)
    for reference in plan.references[part::parts]:
        fields.drop_before(reference + plan.past[0])
        yield EventWindow(
            past_THW=fields.at([reference + offset for offset in plan.past]),
            future_LHW=fields.at([reference + lead for lead in plan.leads]),
            lead_minutes=plan.leads,
            cadence_minutes=plan.cadence,
            pixel_m=fields.pixel_m,
            reference_time=datetime.fromtimestamp(reference * 60, UTC),
            file=Path(path).name,
            spell=spell,
            grid=fields.grid,
        )


def count_windows(
    path: str | Path, protocol: WindowProtocol, *, every_minutes: int | None = None, all_leads: bool = False
) -> WindowCount:
    """Count the windows that `event_windows` yields, and what gaps cost; no field is decoded.

    Raises:
        FrameError: not an event file.
        ConfigError: `every_minutes` is out of range.
    """
    plan = _plan(open_series(path), protocol, every_minutes, all_leads=all_leads)
    return WindowCount(len(plan.references), plan.left_out, plan.missing_fields)


def spell_name(path: str | Path, table: EventTable) -> str:
    """Return the name of a file's spell of weather; a file that is not in the table is a spell of its own."""
    try:
        return table.spell_of(path).name
    except ConfigError:
        return Path(path).stem


@dataclass(frozen=True)
class _WindowPlan:
    """Reference times of the windows of an event in minutes since 1970, and the offsets of their fields in minutes."""

    references: tuple[int, ...]
    past: tuple[int, ...]
    leads: tuple[int, ...]
    cadence: int
    left_out: int
    missing_fields: int


def _plan(series: RadarSeries, protocol: WindowProtocol, every_minutes: int | None, *, all_leads: bool) -> _WindowPlan:
    """Return the windows of an event; none if the event is too short or its cadence does not fit the protocol."""
    there = set(series.minutes.tolist())
    cadence = protocol.cadence_minutes or series.own_cadence
    past = tuple(range(-(protocol.past_minutes // cadence) * cadence, 1, cadence))
    last = protocol.lead_minutes[-1]
    wanted = range(cadence, last + 1, cadence) if all_leads else protocol.lead_minutes
    leads = tuple(lead for lead in wanted if lead % cadence == 0)
    references: list[int] = []
    left_out = missing = 0
    if leads and len(past) >= protocol.fewest:
        needed = [offset for offset in past if offset >= -(protocol.least_past_minutes or protocol.past_minutes)]
        future = last if protocol.least_future_minutes is None else protocol.least_future_minutes
        for reference in _candidates(series, protocol, every_minutes, needed[0], future):
            gaps = sum(reference + lead not in there for lead in leads)
            if any(reference + offset not in there for offset in needed) or (gaps and protocol.whole):
                left_out += 1
            else:
                references.append(reference)
                missing += gaps
    return _WindowPlan(tuple(references), past, leads, cadence, left_out, missing)


def _candidates(
    series: RadarSeries, protocol: WindowProtocol, every_minutes: int | None, first_offset: int, last_lead: int
) -> list[int]:
    """Return the reference times whose window is within the event, in minutes since 1970."""
    every = protocol.every_minutes if every_minutes is None else every_minutes
    if every is not None and every < 1:
        raise ConfigError(f"every_minutes: expected at least 1, got {every}")
    first, last = int(series.minutes[0]) - first_offset, int(series.minutes[-1]) - last_lead
    if every is None:
        return [int(minute) for minute in series.minutes if first <= minute <= last]
    return list(range(-(-first // every) * every, last + 1, every))


class _PassingFields:
    """The fields of an event on the cells of a protocol, each decoded once; those before the window are dropped."""

    def __init__(self, series: RadarSeries, protocol: WindowProtocol) -> None:
        self.series, self.protocol, factor = series, protocol, protocol.cell_factor
        shape = protocol.shape or series.shape
        self.pixel_m = mean_edge_m(*series.edges_resized(shape)) * factor
        rows, cols = (min(side // factor, protocol.most_cells or side) for side in shape)
        self.shape = (rows, cols)
        self.grid = None if series.grid is None else self._grid(series.grid.resized(*shape), factor)
        self._index = {int(minute): index for index, minute in enumerate(series.minutes)}
        self._fields: dict[int, Float32Field] = {}

    def _grid(self, grid: Grid, factor: int) -> Grid:
        """Return the grid of `_on_cells`: coarser cells, and their middle part."""
        height, width = (size // factor for size in grid.shape)
        large = grid.part(slice(0, height * factor), slice(0, width * factor)).resized(height, width)
        top, left = ((size - side) // 2 for size, side in zip(large.shape, self.shape, strict=True))
        return large.part(slice(top, top + self.shape[0]), slice(left, left + self.shape[1]))

    def at(self, minutes: Sequence[int]) -> Float32Field:
        """Return fields by their times; NaN for missing ones."""
        return np.stack([self._field(minute) for minute in minutes])

    def drop_before(self, minute: int) -> None:
        """Release the fields of earlier times."""
        for earlier in [one for one in self._fields if one < minute]:
            del self._fields[earlier]

    def _field(self, minute: int) -> Float32Field:
        if minute not in self._index:
            return np.full(self.shape, np.nan, np.float32)
        if minute not in self._fields:
            field_HW = self.series.field_mmh(self._index[minute]).astype(np.float32)
            self._fields[minute] = self._on_cells(field_HW)
        return self._fields[minute]

    def _on_cells(self, field_HW: Float32Field) -> Float32Field:
        wanted = self.protocol.shape or self.series.shape
        whole_HW = field_HW if wanted == field_HW.shape else resize(field_HW, wanted[::-1])
        large_HW = blocks(whole_HW, self.protocol.cell_factor)
        top, left = ((size - side) // 2 for size, side in zip(large_HW.shape, self.shape, strict=True))
        return large_HW[top : top + self.shape[0], left : left + self.shape[1]]
