"""A forecast at one place; missing data are never reported as dry."""

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any, Final, Literal

import numpy as np
from numpy.typing import NDArray

from core.arrays import Float32Field, Float64Field
from core.distribution import quantiles_mmh
from service.forecasts.fields import FIELDS, CellSeries
from service.forecasts.members import members_at
from service.forecasts.records import StoredForecast
from service.queries.rain import RAIN_MMH, NextRain, member_rain, next_rain, rain_minutes

QUANTILES: Final = (0.1, 0.5, 0.9)
Coverage = Literal["ok", "temporarily unavailable", "no coverage"]
Outlook = Literal["rain", "dry", "unknown"]
Numbers = tuple[float | None, ...]


@dataclass(frozen=True)
class PointSeries:
    """The forecast of the grid cell of one place.

    Attributes:
        cell: row and column; None outside the grid.
        coverage: radar coverage in met.no's terms; "temporarily unavailable" where radars observed the grid cell
            earlier but not now, and where only some leads have a rate ("no coverage" means no rate at all).
        observed_mmh: rate of the newest scan; None without data, or where the input is not kept.
        rate_mmh: by lead; None without data.
        known: by lead; False where rain can flow in from outside the observed area, None without a rate or where the
            forecast's file does not hold it.
        probability_KL: by threshold and lead; NaN without data. A forecast without probabilities has no thresholds.
        quantile_mmh_LQ: by lead and quantile (`QUANTILES`); NaN without data or probabilities.
        outlook: "dry" only where every lead is known and dry; "unknown" where some are not and no rain is forecast.
        next_rain_start, next_rain_end: None where unknown or not within the leads.
    """

    lat: float
    lon: float
    cell: tuple[int, int] | None
    coverage: Coverage
    valid_times: tuple[datetime, ...]
    observed_mmh: float | None
    rate_mmh: Numbers
    known: tuple[bool | None, ...]
    probability_KL: Float32Field
    quantile_mmh_LQ: Float64Field
    outlook: Outlook
    next_rain_start: datetime | None
    next_rain_end: datetime | None


def point_series(forecast: StoredForecast, lat: float, lon: float) -> PointSeries:
    """Return the forecast at a place.

    Raises:
        InputError: not a place on Earth.
    """
    cell = forecast.grid.cell_of(lat, lon)
    values = _values(forecast, cell)
    rates = _numbers(values.rate_mmh_L)
    known = _known(values, rates)
    observed = _numbers(np.array([values.observed_mmh]))[0]
    start, end = next_rain(forecast.valid_times, rates)
    return PointSeries(
        lat,
        lon,
        cell,
        _coverage(rates, usual=values.usual) if cell else "no coverage",
        forecast.valid_times,
        observed,
        tuple(rates),
        tuple(known),
        values.probability_KL,
        _quantiles(forecast, values.probability_KL),
        outlook_of(rates, known),
        start,
        end,
    )


def rain_at(forecast: StoredForecast, point: PointSeries) -> NextRain | None:
    """Return start and end of the next rain at a place: from ensemble members if they are made, else from the rates."""
    members_ML = None if point.cell is None or None in point.rate_mmh else members_at(forecast, point.cell)
    if members_ML is not None and np.isfinite(members_ML).all():
        return member_rain(members_ML, forecast.lead_minutes, point.observed_mmh)
    wet = _wet(forecast, point.probability_KL)
    return rain_minutes(forecast.lead_minutes, point.rate_mmh, wet, point.observed_mmh)


def _values(forecast: StoredForecast, cell: tuple[int, int] | None) -> CellSeries:
    """Return the values of a grid cell; outside the grid all are unknown."""
    count = len(forecast.lead_minutes)
    unknown_KL = np.full((len(forecast.thresholds_mmh), count), np.nan, np.float32)
    if cell is None:
        return CellSeries(np.full(count, np.nan, np.float32), None, unknown_KL, math.nan, usual=False)
    series = FIELDS.read(forecast).at(*cell)
    if series.probability_KL.shape == unknown_KL.shape:
        return series
    return replace(series, probability_KL=unknown_KL)  # the file may have been written again without probabilities


def _quantiles(forecast: StoredForecast, probability_KL: Float32Field) -> Float64Field:
    """Return quantiles of the rate (L, Q); NaN where the forecast has no probabilities."""
    if not forecast.thresholds_mmh:
        return np.full((len(forecast.lead_minutes), len(QUANTILES)), np.nan)
    return quantiles_mmh(probability_KL, forecast.thresholds_mmh, QUANTILES).T


def _wet(forecast: StoredForecast, probability_KL: Float32Field) -> Sequence[float | None] | None:
    """Return the probability of rain by lead; None where the forecast has no such threshold."""
    thresholds = [math.isclose(mmh, RAIN_MMH, rel_tol=1e-6) for mmh in forecast.thresholds_mmh]
    return _numbers(probability_KL[thresholds.index(True)]) if True in thresholds else None


def _numbers(values_N: NDArray[Any]) -> list[float | None]:
    return [None if value != value else value for value in values_N.astype(np.float64).tolist()]


def _known(values: CellSeries, rates: Sequence[float | None]) -> list[bool | None]:
    if values.known_L is None:
        return [None] * len(rates)
    return [None if rate is None else bool(known) for rate, known in zip(rates, values.known_L, strict=True)]


def outlook_of(rates: Sequence[float | None], known: Sequence[bool | None]) -> Outlook:
    """Return "dry" only where every lead has a rate, and none of them can have rain flow in from outside."""
    if any(rate is not None and rate >= RAIN_MMH for rate in rates):
        return "rain"
    return "unknown" if None in rates or False in known else "dry"


def _coverage(rates: Sequence[float | None], *, usual: bool) -> Coverage:
    if None not in rates:
        return "ok"
    return "temporarily unavailable" if usual or any(rate is not None for rate in rates) else "no coverage"
