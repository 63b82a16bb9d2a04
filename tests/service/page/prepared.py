"""A service on a small grid with two hours of scans and forecasts of 30 leads: what a browser test looks at."""

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import numpy as np

from core.arrays import Float32Field
from core.frame import RadarFrame
from core.grid import RADOLAN_900
from models.fields import ForecastFields
from service.forecasts.nowcast import NowcastService
from tests.service.api_support import NOW, REFERENCE, Shift, service_at
from tests.service.fakes import fields_of

GRID = RADOLAN_900.resized(90, 90)
STEP = timedelta(minutes=5)
SCANS = 25
LEADS = 30
THRESHOLDS_MMH = (0.1, 1.0, 5.0)
MISSING = timedelta(minutes=40)
"""No scan of this time before the newest is stored."""
WET = (51.0, 9.0)
"""Latitude and longitude where it rains an hour after the reference time."""


@dataclass(eq=False)
class Drift(Shift):
    """The newest field, one column further east at each step; what flows in from the west is not known."""

    cadence_minutes: int = 5
    pixel_m: float = 10_000.0
    input_steps: int = 25

    def fields(self, rate_mmh_THW: Float32Field, lead_steps: int) -> ForecastFields:
        newest_HW = rate_mmh_THW[-1]
        moved_LHW = np.stack([_moved(newest_HW, step + 1) for step in range(lead_steps)])
        known_LHW = np.isfinite(moved_LHW)
        rate_mmh_LHW = np.where(np.isfinite(newest_HW), np.nan_to_num(moved_LHW), np.float32("nan"))
        known_LHW &= np.isfinite(newest_HW)
        if not self.thresholds_mmh:
            return fields_of(rate_mmh_LHW, known_LHW=known_LHW)
        chances = [rate_mmh_LHW / (rate_mmh_LHW + np.float32(mmh / 2)) for mmh in self.thresholds_mmh]
        return fields_of(rate_mmh_LHW, np.stack(chances), self.thresholds_mmh, known_LHW)


def load(name: str) -> Drift:
    """Return a forecaster; only the default gives probabilities."""
    columns = {"default": 1, "extrapolation": 1, "persistence": 0}
    return Drift(name, columns[name], thresholds_mmh=THRESHOLDS_MMH if name == "default" else ())


def weather(time: datetime, newest: datetime = REFERENCE) -> RadarFrame:
    """Return a band of showers that moves a column in five minutes, and an area in the north-west without radar."""
    rows_HW, cols_HW = np.mgrid[: GRID.height, : GRID.width]
    step = (time - newest) / STEP
    rate_mmh_HW = np.zeros((GRID.height, GRID.width), np.float32)
    for row, column, peak_mmh in ((30, 20, 14), (44, 30, 6), (52, 24, 40), (60, 40, 3), (24, 55, 9), (70, 12, 20)):
        distance_HW = np.hypot(rows_HW - row, cols_HW - column - step)
        rate_mmh_HW += np.float32(peak_mmh) * np.exp(-((distance_HW / 5) ** 2)).astype(np.float32)
    rate_mmh_HW[rate_mmh_HW < 0.1] = 0
    rate_mmh_HW[:14, :14] = np.nan
    return RadarFrame(time, GRID, rate_mmh_HW, "RY")


def prepared(
    home: Path,
    *,
    clock: Callable[[], datetime] = lambda: NOW,
    scans: int = SCANS,
    newest: datetime = REFERENCE,
    **settings: Any,
) -> NowcastService:
    """Return a service with the scans of the last two hours, without one of them; no forecast is made yet."""
    service = service_at(home, clock=clock, load=load, **settings)
    times = [newest - STEP * number for number in reversed(range(scans))]
    for time in times:
        if time != newest - MISSING:
            service.store.put(weather(time, newest))
    return service


def _moved(field_HW: Float32Field, columns: int) -> Float32Field:
    moved_HW = np.full_like(field_HW, np.nan)
    moved_HW[:, columns:] = field_HW[:, :-columns]
    return moved_HW
