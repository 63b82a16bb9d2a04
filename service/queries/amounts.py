"""Rain amounts since the reference time, integrated from snapshots of the rate."""

from collections.abc import Iterator, Sequence
from datetime import datetime
from functools import lru_cache
from itertools import islice, pairwise
from typing import Final

import numpy as np
import xarray as xr

from core.arrays import Float32Field
from core.cf import EPOCH
from service.forecasts.fields import FIELDS, Fields
from service.forecasts.netcdf import LeadVariable
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
    return _total_mm_HW(forecast, forecast.changed_ns, lead)


@lru_cache(maxsize=HELD_TOTALS)
def _total_mm_HW(forecast: StoredForecast, changed_ns: int, lead: int) -> Float32Field:
    """Return a total; keyed by the file's time of change."""
    del changed_ns
    total_mm_HW = next(islice(totals_by_lead(FIELDS.read(forecast), forecast.lead_minutes), lead, None))
    total_mm_HW.setflags(write=False)
    return total_mm_HW


def totals_by_lead(fields: Fields, lead_minutes: Sequence[int]) -> Iterator[Float32Field]:
    """Yield the depth in mm from the reference time to each lead, (H, W); NaN is unknown.

    Args:
        fields: of the forecast, or of a block of it.
        lead_minutes: of its leads.
    """
    total_mm_HW: Float32Field = np.zeros(fields.usual_HW.shape, np.float32)
    analysis = fields.analysis_mmh_HW
    before_mmh_HW = np.full_like(total_mm_HW, np.nan) if analysis is None else analysis
    for lead, (start, end) in enumerate(pairwise((0, *lead_minutes))):
        rate_mmh_HW = fields.rate_mmh_HW(lead)
        part_mm_HW = (before_mmh_HW + rate_mmh_HW) * np.float32((end - start) / 120)
        total_mm_HW = np.asarray(total_mm_HW + part_mm_HW, np.float32)
        before_mmh_HW = rate_mmh_HW
        yield total_mm_HW


def amount_variable(totals_mm: Iterator[Float32Field]) -> LeadVariable:
    """Return the variable of totals, which come lead by lead: `lwe_thickness_of_precipitation_amount`."""
    attributes = {
        "standard_name": "lwe_thickness_of_precipitation_amount",
        "long_name": "liquid-equivalent depth since the reference time",
        "units": "mm",
        "cell_methods": "time: sum",
        "grid_mapping": "crs",
        "ancillary_variables": "coverage",
        "comment": RULE,
    }
    return LeadVariable(AMOUNT, "f4", attributes, lambda _: next(totals_mm), np.float32("nan"))


def with_bounds(header: xr.Dataset, forecast: StoredForecast, times: Sequence[datetime]) -> xr.Dataset:
    """Add the bounds of the periods of totals to the axes of a file: from the reference time to each lead."""
    ends_T = np.array([time.timestamp() for time in times])
    bounds_T2 = np.stack([np.full_like(ends_T, forecast.reference_time.timestamp()), ends_T], axis=1)
    header["time_bnds"] = (("time", "bnds"), bounds_T2, {"units": EPOCH, "calendar": "standard"}, {"_FillValue": None})
    header["time"].attrs["bounds"] = "time_bnds"
    return header
