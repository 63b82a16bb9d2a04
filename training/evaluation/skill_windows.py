"""Windows to calibrate on: every start of an event on 124 x 124 cells at 30 minutes, whole or of its squares."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import product
from pathlib import Path
from typing import Final

import numpy as np
from numpy.typing import NDArray

from core.arrays import Float32Field
from core.units import WET_WINDOW_MMH
from training.datasets.field_cache import resize
from training.datasets.series import RadarSeries, open_series

SIZE: Final = 124
CADENCE_MINUTES: Final = 30
GIVEN: Final = 5
LEADS: Final = 5
TILE_SEEN: Final = 0.4
TILE_WET: Final = 0.02
"""A square of an event is a window if at least TILE_SEEN of it is observed and at least TILE_WET of it has rain."""


@dataclass(frozen=True)
class SkillWindow:
    """Input and observation of one forecast, mm/h, NaN where not observed.

    Attributes:
        past_THW: given fields; missing ones of an event that is too short are NaN.
        future_LHW: observed fields at the leads, likewise.
        pixel_m: mean edge of a cell.
        start: index of the window's first field in the event.
    """

    past_THW: Float32Field
    future_LHW: Float32Field
    pixel_m: float
    start: int

    @property
    def compared_LHW(self) -> NDArray[np.bool_]:
        """Return the cells that are observed in every given field of the window and at the lead."""
        there = [field_HW for field_HW in self.past_THW if np.isfinite(field_HW).any()]
        return np.asarray(np.isfinite(self.future_LHW) & np.isfinite(np.stack(there)).all(axis=0))


def skill_windows(path: Path, *, short: bool = False, every: int = 1) -> Iterator[SkillWindow]:
    """Yield all windows of an event file.

    Args:
        path: the event.
        short: accept fewer given fields and leads if the event is too short for a whole window (training events).
        every: take every N-th window only.
    """
    series, starts, given, leads = _starts(path, short)
    for start in starts[::every]:
        yield _window(series, start, given, leads)


def tile_windows(path: Path, tile_m: float, *, every: int = 1) -> Iterator[SkillWindow]:
    """Yield windows of squares of an event on 124 x 124 smaller cells; only those with enough rain.

    The squares cover the event without a gap and with the least overlap. Fewer given fields and leads are accepted if
    the event is too short for a whole window.

    Args:
        path: the event.
        tile_m: edge of the squares.
        every: take every N-th window only.
    """
    series, starts, given, leads = _starts(path, short=True)
    edge = min(round(tile_m / series.pixel_m), *series.shape)
    corners = [np.linspace(0, size - edge, -(-size // edge)).astype(int) for size in series.shape]
    for start in starts[::every]:
        indices = series.window_indices(start, given + leads, CADENCE_MINUTES)
        fields = [series.field_mmh(int(index)) for index in indices]
        for row, col in product(*corners):
            window = _resized([field_HW[row : row + edge, col : col + edge] for field_HW in fields], given)
            newest_HW = window[GIVEN - 1]
            if np.isfinite(newest_HW).mean() >= TILE_SEEN and (newest_HW >= WET_WINDOW_MMH).mean() >= TILE_WET:
                yield SkillWindow(window[:GIVEN], window[GIVEN:], edge * series.pixel_m / SIZE, start)


def _starts(path: Path, short: bool) -> tuple[RadarSeries, list[int], int, int]:
    """Return an event, the first fields of its windows, and the numbers of given and forecast fields in each."""
    series = open_series(path)
    series.keep_in_memory()
    for given, leads in [(GIVEN, LEADS), *([(n, n) for n in (4, 3, 2)] if short else [])]:
        starts = series.window_starts(given + leads, CADENCE_MINUTES)
        if len(starts):
            return series, [int(start) for start in starts], given, leads
    return series, [], GIVEN, LEADS


def _window(series: RadarSeries, start: int, given: int, leads: int) -> SkillWindow:
    indices = series.window_indices(start, given + leads, CADENCE_MINUTES)
    fields = _resized([series.field_mmh(int(index)) for index in indices], given)
    pixel_m = float(np.mean(series.shape)) * series.pixel_m / SIZE
    return SkillWindow(fields[:GIVEN], fields[GIVEN:], pixel_m, start)


def _resized(fields: Sequence[NDArray[np.float16] | Float32Field], given: int) -> Float32Field:
    """Resize the fields of a window to the protocol's cells; fields that a shorter window lacks are NaN."""
    resized_THW = np.full((GIVEN + LEADS, SIZE, SIZE), np.nan, np.float32)
    for step, field_HW in enumerate(fields, GIVEN - given):
        resized_THW[step] = resize(field_HW.astype(np.float32), (SIZE, SIZE))
    return resized_THW
