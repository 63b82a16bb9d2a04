"""A forecast at one place; missing data are never reported as dry."""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any, Final, Literal

import numpy as np
from numpy.typing import NDArray

from core.arrays import Float32Field, Float64Field
from core.distribution import quantiles_mmh
from service.forecasts.fields import FIELDS, CellSeries
from service.forecasts.records import StoredForecast

RAIN_MMH: Final = 0.1
"""Rain rate from which a place counts as wet."""

QUANTILES: Final = (0.1, 0.5, 0.9)
Coverage = Literal["ok", "temporarily unavailable", "no coverage"]
Outlook = Literal["rain", "dry", "unknown"]
Basis = Literal["members", "probabilities", "rates"]
Numbers = tuple[float | None, ...]


@dataclass(frozen=True)
class NextRain:
    """Start and end of the next rain at a place, in minutes after the reference time; None is unknown or not forecast.

    Attributes:
        start_minutes: 0 where the newest scan has rain.
        start_probability: probability of rain at the start.
        end_minutes: first dry time after the start.
        end_probability: probability that it is dry then.
        basis: what minutes and probabilities come from.
    """

    start_minutes: int | None
    start_probability: float | None
    end_minutes: int | None
    end_probability: float | None
    basis: Basis


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
        next_rain: start and end with their probabilities, including rain that is observed now; None without any.
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
    next_rain: NextRain | None


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
        _outlook(rates, known),
        start,
        end,
        rain_minutes(forecast.lead_minutes, rates, _wet(forecast, values.probability_KL), observed),
    )


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


def rain_minutes(
    lead_minutes: Sequence[int],
    rates: Sequence[float | None],
    wet: Sequence[float | None] | None,
    observed_mmh: float | None,
) -> NextRain | None:
    """Return start and end of the next rain of the forecast rate, with the probability of rain at these leads.

    Args:
        lead_minutes: of the rates.
        rates: mm/h; None is unknown.
        wet: probability of rain by lead; None without probabilities.
        observed_mmh: newest scan; where it has rain, that is the start, and certain.
    """
    rains_now = observed_mmh is not None and observed_mmh >= RAIN_MMH
    start = -1 if rains_now else _first(rates, 0, lambda rate: rate >= RAIN_MMH)
    if start is None:
        return None
    end = _first(rates, start + 1, lambda rate: rate < RAIN_MMH)
    starts = 1.0 if rains_now else None if wet is None else wet[start]
    rains_at_end = None if wet is None or end is None else wet[end]
    return NextRain(
        0 if rains_now else lead_minutes[start],
        starts,
        None if end is None else lead_minutes[end],
        None if rains_at_end is None else 1.0 - rains_at_end,
        "rates" if wet is None else "probabilities",
    )


def _numbers(values_N: NDArray[Any]) -> list[float | None]:
    return [None if value != value else value for value in values_N.astype(np.float64).tolist()]


def _known(values: CellSeries, rates: Sequence[float | None]) -> list[bool | None]:
    if values.known_L is None:
        return [None] * len(rates)
    return [None if rate is None else bool(known) for rate, known in zip(rates, values.known_L, strict=True)]


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


def _first(rates: Sequence[float | None], begin: int, fits: Callable[[float], bool]) -> int | None:
    """Return the index of the first fitting rate from `begin` on; None if there is none before an unknown one."""
    for index in range(begin, len(rates)):
        rate = rates[index]
        if rate is None:
            return None
        if fits(rate):
            return index
    return None


def _coverage(rates: Sequence[float | None], *, usual: bool) -> Coverage:
    if None not in rates:
        return "ok"
    return "temporarily unavailable" if usual or any(rate is not None for rate in rates) else "no coverage"
