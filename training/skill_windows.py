"""Windows of the skill protocol: every start of an event on 124 x 124 cells at 30 minutes, with its native past."""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import cv2
import numpy as np
from numpy.typing import NDArray

from models.baselines import Extrapolation
from training.datasets.field_cache import resize
from training.datasets.series import Float32Field, RadarSeries, open_series

SIZE: Final = 124
CADENCE_MINUTES: Final = 30
GIVEN: Final = 5
LEADS: Final = 5
NATIVE_FIELDS: Final = 3


@dataclass(frozen=True)
class SkillWindow:
    """One forecast's input and what followed, mm/h, NaN where not observed.

    Attributes:
        past_THW: given fields; missing ones of an event that is too short are NaN.
        future_LHW: what followed, likewise.
        pixel_m: mean edge of a cell.
        native_THW: the newest native fields at the native cadence, for extrapolation at full resolution.
        native_steps: native steps in a lead.
        start: of the window, index of its first field in the event.
    """

    past_THW: Float32Field
    future_LHW: Float32Field
    pixel_m: float
    native_THW: Float32Field
    native_steps: int
    start: int

    @property
    def compared_LHW(self) -> NDArray[np.bool_]:
        """Cells where every given field that there is, and what followed, are observed."""
        there = [field_HW for field_HW in self.past_THW if np.isfinite(field_HW).any()]
        return np.asarray(np.isfinite(self.future_LHW) & np.isfinite(np.stack(there)).all(axis=0))


def skill_windows(path: Path, *, short: bool = False) -> Iterator[SkillWindow]:
    """All windows of an event file.

    Args:
        path: the event.
        short: also take fewer given fields and leads where the event holds no whole window (training events).
    """
    series = open_series(path)
    series.keep_in_memory()
    steps = [(GIVEN, LEADS), *([(n, n) for n in (4, 3, 2)] if short else [])]
    for given, leads in steps:
        starts = series.window_starts(given + leads, CADENCE_MINUTES)
        if len(starts):
            yield from (_window(series, int(start), given, leads) for start in starts)
            return


def native_extrapolation_LHW(window: SkillWindow) -> Float32Field:
    """Extrapolation on the native grid and cadence, then averaged over the cells of the protocol."""
    native = Extrapolation().forecast(np.nan_to_num(window.native_THW, nan=0.0), LEADS * window.native_steps)
    chosen = native[window.native_steps - 1 :: window.native_steps]
    return np.stack([cv2.resize(field_HW, (SIZE, SIZE), interpolation=cv2.INTER_AREA) for field_HW in chosen])


def _window(series: RadarSeries, start: int, given: int, leads: int) -> SkillWindow:
    fields = np.full((GIVEN + LEADS, SIZE, SIZE), np.nan, np.float32)
    indices = series.window_indices(start, given + leads, CADENCE_MINUTES)
    for step, index in enumerate(indices):
        fields[GIVEN - given + step] = resize(series.field_mmh(int(index)).astype(np.float32), (SIZE, SIZE))
    newest = int(indices[given - 1])
    native_minutes = int(np.diff(series.minutes).min())
    native = [series.field_mmh(index).astype(np.float32) for index in range(newest - NATIVE_FIELDS + 1, newest + 1)]
    pixel_m = float(np.mean(series.shape)) * series.pixel_m / SIZE
    return SkillWindow(
        fields[:GIVEN], fields[GIVEN:], pixel_m, np.stack(native), CADENCE_MINUTES // native_minutes, start
    )
