"""Rain amounts of an hour on the whole grid: of the forecast from a time on, and of the scans up to a time."""

from collections.abc import Sequence
from datetime import timedelta
from functools import lru_cache
from itertools import pairwise
from typing import Final

import numpy as np

from core.arrays import BoolField, Float32Field
from core.errors import NoDataError
from core.grid import Grid
from core.times import iso
from ingest.store.live import Scan, Store
from service.forecasts.fields import FIELDS, Fields
from service.forecasts.held import HeldContents
from service.forecasts.records import StoredForecast
from service.queries.observed import FRAMES

HOUR_MINUTES: Final = 60
HOUR: Final = timedelta(minutes=HOUR_MINUTES)
LONGEST_GAP: Final = timedelta(minutes=30)
"""Scans that are further apart give no amount: the trapezoid rule would not see the showers between them."""

HELD_SUMS: Final = 8
"""26 MB for 900 x 900 grid cells; a map requests one time tile by tile."""

HELD_BYTES: Final = 48 * 2**20
_OBSERVED: Final[HeldContents[tuple[str, ...], Float32Field]] = HeldContents(HELD_BYTES, lambda sum_HW: sum_HW.nbytes)


def start_minutes(forecast: StoredForecast) -> tuple[int, ...]:
    """Return the starts of the hours that a forecast has, in minutes after the reference time: both ends are leads."""
    ends = set(forecast.lead_minutes)
    return tuple(start for start in (0, *forecast.lead_minutes) if start + HOUR_MINUTES in ends)


def hour_ahead_mm(forecast: StoredForecast, start: int) -> tuple[Float32Field, BoolField | None]:
    """Return the depth of the hour from a time on in mm, (H, W), and where all of its leads rest on an observation.

    Args:
        forecast: which one.
        start: minutes after the reference time, one of `start_minutes`.

    Raises:
        NoDataError: the forecast has no such hour.
    """
    if start not in start_minutes(forecast):
        known = ", ".join(map(str, start_minutes(forecast))) or "none"
        raise NoDataError(f"hour: expected a start of {known} minutes after the reference time, got {start}")
    return _hour_ahead_mm(forecast, forecast.changed_ns, start)


@lru_cache(maxsize=HELD_SUMS)
def _hour_ahead_mm(forecast: StoredForecast, changed_ns: int, start: int) -> tuple[Float32Field, BoolField | None]:
    """Return an hour; keyed by the file's time of change."""
    del changed_ns
    fields, times = FIELDS.read(forecast), (0, *forecast.lead_minutes)
    sum_mm_HW: Float32Field = np.zeros(forecast.grid.shape, np.float32)
    for lead, (begin, end) in enumerate(pairwise(times)):
        if start <= begin and end <= start + HOUR_MINUTES:
            both_HW = _rate_at(fields, lead - 1) + fields.rate_mmh_HW(lead)
            sum_mm_HW += both_HW * np.float32((end - begin) / 120)
    return sum_mm_HW, _known(forecast, fields, start)


def _rate_at(fields: Fields, lead: int) -> Float32Field:
    """Return the rate of a lead by its index; -1 is the newest scan, NaN where it is not kept."""
    if lead >= 0:
        return fields.rate_mmh_HW(lead)
    analysis = fields.analysis_mmh_HW
    return np.full(fields.usual_HW.shape, np.nan, np.float32) if analysis is None else analysis


def _known(forecast: StoredForecast, fields: Fields, start: int) -> BoolField | None:
    inside = range(start + 1, start + HOUR_MINUTES + 1)
    masks = [fields.known_HW(lead) for lead, minutes in enumerate(forecast.lead_minutes) if minutes in inside]
    found = [known_HW for known_HW in masks if known_HW is not None]
    return np.logical_and.reduce(found) if found else None


def scans_of_hour(scans: Sequence[Scan], end: Scan) -> list[Scan] | None:
    """Return the scans of the hour up to one of them, ascending; None where its start or a part of it has no scan."""
    inside = [scan for scan in scans if end.valid_time - HOUR <= scan.valid_time <= end.valid_time]
    is_whole = inside[0].valid_time == end.valid_time - HOUR
    return inside if is_whole and all(b.valid_time - a.valid_time <= LONGEST_GAP for a, b in pairwise(inside)) else None


def hour_before_mm(store: Store, scans: Sequence[Scan]) -> tuple[Float32Field, Grid]:
    """Return the depth that scans observed in mm, (H, W), by the trapezoid rule; NaN where one did not observe.

    Args:
        store: of the scans.
        scans: of one hour, ascending.

    Raises:
        NoDataError: a file is missing, or the grid changed.
    """
    grid = FRAMES.read(store, scans[-1]).grid
    return _OBSERVED.read(tuple(scan.sha256 for scan in scans), lambda: _observed_mm(store, scans, grid)), grid


def _observed_mm(store: Store, scans: Sequence[Scan], grid: Grid) -> Float32Field:
    sum_mm_HW: Float32Field = np.zeros(grid.shape, np.float32)
    before = FRAMES.read(store, scans[0])
    for scan in scans[1:]:
        frame = FRAMES.read(store, scan)
        if not before.grid.same_place(grid):
            raise NoDataError(f"the grid of {before.product} changed after {iso(before.valid_time)}")
        hours = (frame.valid_time - before.valid_time) / HOUR
        sum_mm_HW += (before.rate_mmh_HW + frame.rate_mmh_HW) * np.float32(hours / 2)
        before = frame
    return sum_mm_HW
