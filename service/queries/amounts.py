"""Rain amounts since the reference time, integrated from snapshots of the rate."""

from collections.abc import Sequence
from functools import lru_cache
from typing import Final

import numpy as np
import xarray as xr

from core.arrays import Float32Field
from core.cf import EPOCH, RATE, rate_dataset
from core.grid import Grid
from service.forecasts.fields import FIELDS, Fields
from service.forecasts.products import forecast_attributes
from service.forecasts.records import StoredForecast

AMOUNT: Final = "rainfall_amount"
HELD_TOTALS: Final = 8
"""26 MB for 900 x 900 grid cells."""

RULE: Final = (
    "trapezoid rule between snapshots of the rate: the newest scan at the reference time, then each lead; an interval "
    "with an end that is missing is null, and so is every total that holds it"
)


def intervals_mm(fields: Fields, lead_minutes: Sequence[int], cells: tuple[int | slice, int | slice]) -> Float32Field:
    """Return the depth in mm between consecutive snapshots, (T, ...) by the lead at its end; NaN is unknown.

    Args:
        fields: of the forecast.
        lead_minutes: of its leads.
        cells: row and column, or slices of them.
    """
    rates_mmh_T = fields.rate[:, *cells]
    analysis = fields.analysis_mmh_HW
    first = np.full_like(rates_mmh_T[0], np.nan) if analysis is None else analysis[cells]
    snapshots_mmh_N = np.concatenate([np.asarray(first)[None], rates_mmh_T])
    hours_T = np.diff([0, *lead_minutes]).astype(np.float32) / 60
    hours_T = hours_T.reshape(-1, *[1] * (rates_mmh_T.ndim - 1))
    return np.asarray((snapshots_mmh_N[:-1] + snapshots_mmh_N[1:]) / 2 * hours_T, np.float32)


def totals_mm(intervals_mm_T: Float32Field) -> Float32Field:
    """Return the depth in mm from the reference time to each lead; NaN from the first unknown interval on."""
    return np.cumsum(intervals_mm_T, axis=0, dtype=np.float32)


def total_mm_HW(forecast: StoredForecast, lead: int) -> Float32Field:
    """Return the depth in mm from the reference time to one lead, by its index, on the whole grid; NaN is unknown.

    Leads are added one after the other; recent totals stay in memory, since a map is requested tile by tile.
    """
    return _total_mm_HW(forecast, forecast.path.stat().st_mtime_ns, lead)


@lru_cache(maxsize=HELD_TOTALS)
def _total_mm_HW(forecast: StoredForecast, changed_ns: int, lead: int) -> Float32Field:
    """Return a total; keyed by the file's time of change."""
    del changed_ns
    fields = FIELDS.read(forecast)
    total_mm_HW = np.zeros(forecast.grid.shape, np.float32)
    analysis = fields.analysis_mmh_HW
    before_mmh_HW = np.full_like(total_mm_HW, np.nan) if analysis is None else analysis
    minutes = 0
    for index in range(lead + 1):
        rate_mmh_HW = fields.rate_mmh_HW(index)
        hours = np.float32((forecast.lead_minutes[index] - minutes) / 60)
        total_mm_HW += (before_mmh_HW + rate_mmh_HW) / np.float32(2) * hours
        before_mmh_HW, minutes = rate_mmh_HW, forecast.lead_minutes[index]
    total_mm_HW.setflags(write=False)
    return total_mm_HW


def amount_dataset(forecast: StoredForecast, total_mm_THW: Float32Field, grid: Grid) -> xr.Dataset:
    """Return totals as CF data set, `lwe_thickness_of_precipitation_amount` with the bounds of its times."""
    attributes = {
        **forecast_attributes(forecast),
        "title": f"Rain amount from {forecast.reference_time:%Y-%m-%d %H:%M} UTC",
    }
    dataset = rate_dataset(
        total_mm_THW, forecast.valid_times, grid, reference_time=forecast.reference_time, attributes=attributes
    ).rename({RATE: AMOUNT})
    dataset[AMOUNT].attrs.update(
        standard_name="lwe_thickness_of_precipitation_amount",
        long_name="liquid-equivalent depth since the reference time",
        units="mm",
        cell_methods="time: sum",
        comment=RULE,
    )
    ends_T = np.array([time.timestamp() for time in forecast.valid_times])
    bounds_T2 = np.stack([np.full_like(ends_T, forecast.reference_time.timestamp()), ends_T], axis=1)
    dataset["time_bnds"] = (("time", "bnds"), bounds_T2, {"units": EPOCH, "calendar": "standard"})
    dataset["time"].attrs["bounds"] = "time_bnds"
    return dataset
