"""GET /weatherapi/nowcast/2.0/complete: the nowcast of a place as met.no's API answers it.

Fields by https://api.met.no/weatherapi/nowcast/2.0/documentation: a GeoJSON feature whose `radar_coverage` says whether
there is a nowcast; rates that are not known are left out. The symbol is that of rain, by the classes of DWD (light
below 2.5 mm in an hour, heavy from 10 mm), and null where it is dry, since a radar does not see clouds. `Last-Modified`
and `Expires` say when to ask again: clients of the original rely on them.
"""

from datetime import datetime, timedelta
from typing import Annotated, Any, Final
from zoneinfo import ZoneInfo

from fastapi import APIRouter, Depends, Query, Request, Response
from fastapi.responses import JSONResponse

from core.times import iso
from service.api import caching
from service.api.backend import Backend, BackendDep
from service.api.errors import documented
from service.api.lookup import place
from service.forecasts.nowcast import StoredForecast
from service.foreign.newest import NewestDep, depth_mm, point_at, rates_of
from service.schemas.places import PointOut

router = APIRouter(tags=["interfaces of others"])

HOUR: Final = timedelta(hours=1)
UNITS: Final = {"precipitation_amount": "mm", "precipitation_rate": "mm/h"}
SYMBOLS: Final = ((10.0, "heavyrain"), (2.5, "rain"), (0.1, "lightrain"))
"""Least depth of an hour in mm and its symbol."""


@router.get(
    "/weatherapi/nowcast/2.0/complete",
    summary="Nowcast of a place as met.no's API",
    response_model=dict[str, Any],
    responses={304: caching.NOT_MODIFIED, **documented(404, 422)},
)
def read_met_no_nowcast(
    forecast: NewestDep,
    backend: BackendDep,
    request: Request,
    where: Annotated[tuple[float, float], Depends(place)],
    altitude: Annotated[
        float, Query(description="metres above sea level; it is repeated only", allow_inf_nan=False)
    ] = 0.0,
) -> Response:
    """Return a GeoJSON feature with the rate at each time, and the depth of the next hour at the first one."""
    tag = caching.etag(forecast, f"met-no-{where[0]}-{where[1]}-{altitude}")
    headers = caching.headers(forecast, tag, lifetime_s=caching.until_next_run_s(forecast, backend.service))
    unchanged = caching.not_modified(request, headers)
    return unchanged or JSONResponse(_feature(forecast, backend, where, altitude), headers=headers)


def _feature(forecast: StoredForecast, backend: Backend, where: tuple[float, float], altitude: float) -> dict[str, Any]:
    lat, lon = where
    point = point_at(backend, forecast, lat, lon, ZoneInfo("UTC"))
    rates = rates_of(point)
    series = [_step(point, rates, index) for index in range(len(rates))]
    meta = {
        "updated_at": iso(forecast.issued_at),
        "units": UNITS,
        "radar_coverage": point.radar_coverage,
        "attribution": point.attribution,
    }
    return {
        "type": "Feature",
        "geometry": {"type": "Point", "coordinates": [lon, lat, altitude]},
        "properties": {"meta": meta, "timeseries": series},
    }


def _step(point: PointOut, rates: list[tuple[datetime, float | None]], index: int) -> dict[str, Any]:
    time, rate = rates[index]
    details = {} if rate is None else {"precipitation_rate": round(rate, 2)}
    data: dict[str, Any] = {"instant": {"details": details}}
    depth = depth_mm(rates, time, time + HOUR) if index == 0 and point.radar_coverage == "ok" else None
    if depth is not None:
        symbol = next((name for least_mm, name in SYMBOLS if depth >= least_mm), None)
        details = {"precipitation_amount": round(depth, 2)}
        data["next_1_hours"] = {"summary": {"symbol_code": symbol}, "details": details}
    return {"time": iso(time), "data": data}
