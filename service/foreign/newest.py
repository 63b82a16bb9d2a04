"""What the interfaces of others share: the newest forecast, and the series of a place."""

from datetime import datetime
from itertools import pairwise
from typing import Annotated
from zoneinfo import ZoneInfo

from fastapi import Depends, Request

from service.api.backend import Backend, BackendDep
from service.api.lookup import LATEST, chosen_forecast
from service.api.point_views import point_document
from service.forecasts.nowcast import StoredForecast
from service.queries.rain import RAIN_MMH
from service.schemas.places import PointLeadOut, PointOut


async def newest_forecast(backend: BackendDep, request: Request) -> StoredForecast:
    """Return the newest forecast.

    Raises:
        NoDataError: there is none yet.
    """
    return await chosen_forecast(LATEST, backend, request)


NewestDep = Annotated[StoredForecast, Depends(newest_forecast)]


def point_at(backend: Backend, forecast: StoredForecast, lat: float, lon: float, zone: ZoneInfo) -> PointOut:
    """Return the forecast at a place."""
    return PointOut.model_validate(point_document(backend, forecast, lat, lon, zone))


def rates_of(point: PointOut) -> list[tuple[datetime, float | None]]:
    """Return times and rates in mm/h: the newest scan, then each lead; None is unknown."""
    now = [] if point.observed is None else [(point.observed.valid_time, point.observed.rate_mmh)]
    return [*now, *((lead.valid_time, lead.rate_mmh) for lead in point.series)]


def rain_probability(lead: PointLeadOut) -> float | None:
    """Return the probability of rain at a lead; None without probabilities."""
    return next((one.probability for one in lead.probabilities if one.threshold_mmh == RAIN_MMH), None)


def depth_mm(rates: list[tuple[datetime, float | None]], start: datetime, end: datetime) -> float | None:
    """Return the depth from a start to an end by the trapezoid rule; None where it is not covered by known rates."""
    depth, covered_s = 0.0, 0.0
    for (t0, r0), (t1, r1) in pairwise(rates):
        left, right = max(t0, start), min(t1, end)
        if left >= right:
            continue
        if r0 is None or r1 is None:
            return None
        whole_s = (t1 - t0).total_seconds()
        at_left = r0 + (r1 - r0) * (left - t0).total_seconds() / whole_s
        at_right = r0 + (r1 - r0) * (right - t0).total_seconds() / whole_s
        seconds = (right - left).total_seconds()
        depth, covered_s = depth + (at_left + at_right) / 2 * seconds / 3600, covered_s + seconds
    return depth if covered_s >= (end - start).total_seconds() - 1 else None
