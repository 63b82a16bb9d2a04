"""Windows of the benchmark: cut-outs around the events of a catalogue, one by one."""

from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

import numpy as np

from core.arrays import Float32Field
from core.errors import ConfigError
from core.frame import RadarFrame
from core.grid import Grid
from training.catrare.catalogue import CatalogueEvent
from training.catrare.folder import ordered_frames
from training.catrare.protocol import (
    CADENCE_MINUTES,
    HOUR_STEPS,
    LEAST_PAST,
    CatrareProtocol,
    WindowTally,
    minutes_of,
)


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


class HourWindows:
    """All windows of some events, lazily; the memory holds the fields of three hours, whatever their number.

    Attributes:
        tally: complete once all windows are read.
    """

    def __init__(
        self,
        folder: Path,
        events: Sequence[CatalogueEvent],
        protocol: CatrareProtocol,
        *,
        after: datetime | None = None,
        tally: WindowTally | None = None,
    ) -> None:
        """Plan the windows.

        Args:
            folder: of RADKLIM YW, binary or NetCDF, archives of them too.
            events: of the catalogue.
            protocol: their reference times and cut-outs.
            after: a run that goes on leaves out reference times up to this one.
            tally: of the windows up to then.

        Raises:
            ConfigError: no such folder.
        """
        if not folder.exists():
            raise ConfigError(f"--data {folder}: expected a folder of RADKLIM YW, got nothing there")
        self.tally = tally or WindowTally()
        self.tally.planned = 0
        self._folder, self._protocol = folder, protocol
        self._events: dict[int, list[CatalogueEvent]] = defaultdict(list)
        for event in events:
            minutes = protocol.reference_minutes(event)
            self.tally.planned += len(minutes)
            for minute in minutes:
                if after is None or minute > minutes_of(after):
                    self._events[minute].append(event)

    def __iter__(self) -> Iterator[HourWindow]:
        """Yield the windows in the order of their reference times.

        Raises:
            ConfigError: fields of another grid or interval, or files whose order by name is not that of time.
        """
        recent: dict[int, RadarFrame] = {}
        for frame in ordered_frames(self._folder, self._wanted_minutes(), self.tally):
            newest = minutes_of(frame.valid_time)
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
            observed_mm_HW = np.asarray(hour_THW.mean(axis=0, dtype=np.float64), np.float32)
            seen_T = [bool(np.isfinite(field_HW).any()) for field_HW in past_THW]
            if not (all(seen_T[-2:]) and np.isfinite(observed_mm_HW).any()):
                self.tally.uncovered.add((reference, event.name))
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

    def _wanted_minutes(self) -> list[int]:
        steps = CADENCE_MINUTES * np.arange(1 - self._protocol.past_fields, HOUR_STEPS + 1)
        minutes = np.array(sorted(self._events), np.int64)[:, None] + steps
        return [int(minute) for minute in np.unique(minutes)]
