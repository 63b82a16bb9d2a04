"""A forecast at one place; missing data are never reported as dry."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Final, Literal

import numpy as np

from service.forecasts.fields import FIELDS, Fields
from service.forecasts.records import StoredForecast

RAIN_MMH: Final = 0.1
"""Rain rate from which a place counts as wet."""

Coverage = Literal["ok", "temporarily unavailable", "no coverage"]
Outlook = Literal["rain", "dry", "unknown"]


@dataclass(frozen=True)
class PointSeries:
    """The forecast of the grid cell of one place.

    Attributes:
        coverage: radar coverage in met.no's terms; "temporarily unavailable" where radars observed the grid cell
            earlier but not now, and where only some leads have a rate ("no coverage" means no rate at all).
        rate_mmh: by lead; None without data.
        known: by lead; False where rain can flow in from outside the observed area, None without a rate or where the
            forecast's file does not hold it.
        outlook: "dry" only where every lead is known and dry; "unknown" where some are not and no rain is forecast.
        next_rain_start, next_rain_end: None where unknown or not within the leads.
    """

    lat: float
    lon: float
    coverage: Coverage
    valid_times: tuple[datetime, ...]
    rate_mmh: tuple[float | None, ...]
    known: tuple[bool | None, ...]
    outlook: Outlook
    next_rain_start: datetime | None
    next_rain_end: datetime | None


def point_series(forecast: StoredForecast, lat: float, lon: float) -> PointSeries:
    """Return the forecast at a place.

    Raises:
        InputError: not a place on Earth.
    """
    cell = forecast.grid.cell_of(lat, lon)
    if cell is None:
        rates: list[float | None] = [None] * len(forecast.lead_minutes)
        known: list[bool | None] = [None] * len(rates)
        coverage: Coverage = "no coverage"
    else:
        fields = FIELDS.read(forecast)
        series_T = fields.rate_mmh_THW[:, cell[0], cell[1]]
        rates = [float(rate) if np.isfinite(rate) else None for rate in series_T]
        known = _known(fields, cell, rates)
        usual = bool(fields.usual_HW[cell])
        coverage = (
            "ok" if None not in rates else _why_missing(usual=usual, some=any(rate is not None for rate in rates))
        )
    start, end = next_rain(forecast.valid_times, rates)
    outlook = _outlook(rates, known)
    return PointSeries(lat, lon, coverage, forecast.valid_times, tuple(rates), tuple(known), outlook, start, end)


def _known(fields: Fields, cell: tuple[int, int], rates: Sequence[float | None]) -> list[bool | None]:
    if fields.known_THW is None:
        return [None] * len(rates)
    known_T = fields.known_THW[:, cell[0], cell[1]]
    return [None if rate is None else bool(known) for rate, known in zip(rates, known_T, strict=True)]


def _outlook(rates: Sequence[float | None], known: Sequence[bool | None]) -> Outlook:
    """Return "dry" only where every lead has a rate, and none of them can have rain flow in from outside."""
    if any(rate is not None and rate >= RAIN_MMH for rate in rates):
        return "rain"
    return "unknown" if None in rates or False in known else "dry"


def next_rain(valid_times: tuple[datetime, ...], rates: list[float | None]) -> tuple[datetime | None, datetime | None]:
    """Return the first time with rain and the first dry time after it; None if an unknown time precedes it."""
    start = _first(rates, 0, lambda rate: rate >= RAIN_MMH)
    end = None if start is None else _first(rates, start + 1, lambda rate: rate < RAIN_MMH)
    return None if start is None else valid_times[start], None if end is None else valid_times[end]


def _first(rates: list[float | None], begin: int, fits: Callable[[float], bool]) -> int | None:
    """Return the index of the first fitting rate from `begin` on; None if there is none before an unknown one."""
    for index in range(begin, len(rates)):
        rate = rates[index]
        if rate is None:
            return None
        if fits(rate):
            return index
    return None


def _why_missing(*, usual: bool, some: bool) -> Coverage:
    return "temporarily unavailable" if usual or some else "no coverage"
