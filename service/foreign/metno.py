"""GET /weatherapi/nowcast/2.0/complete: the nowcast of a place as met.no's API answers it.

Fields by https://api.met.no/weatherapi/nowcast/2.0/documentation: a GeoJSON feature whose `radar_coverage` says whether
there is a nowcast; rates that are not known are left out. We know rain alone, so that there are no symbols.
"""

from datetime import datetime, timedelta
from typing import Annotated, Any, Final
from zoneinfo import ZoneInfo

from fastapi import APIRouter, Depends, Query

from core.times import iso
from service.api.backend import BackendDep
from service.api.errors import documented
from service.api.lookup import place
from service.foreign.newest import NewestDep, depth_mm, point_at, rates_of
from service.schemas.places import PointOut

router = APIRouter(tags=["interfaces of others"])

HOUR: Final = timedelta(hours=1)
UNITS: Final = {"precipitation_amount": "mm", "precipitation_rate": "mm/h"}


@router.get(
    "/weatherapi/nowcast/2.0/complete", summary="Nowcast of a place as met.no's API", responses=documented(404, 422)
)
def read_complete(
    forecast: NewestDep,
    backend: BackendDep,
    where: Annotated[tuple[float, float], Depends(place)],
    altitude: Annotated[
        float, Query(description="metres above sea level; it is repeated only", allow_inf_nan=False)
    ] = 0.0,
) -> dict[str, Any]:
    """Return a GeoJSON feature with the rate at each time, and the depth of the next hour at the first one."""
    lat, lon = where
    point = point_at(backend, forecast, lat, lon, ZoneInfo("UTC"))
    rates = rates_of(point)
    series = [_step(point, rates, index) for index in range(len(rates))]
    meta = {"updated_at": iso(forecast.issued_at), "units": UNITS, "radar_coverage": point.radar_coverage}
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
        data["next_1_hours"] = {"details": {"precipitation_amount": round(depth, 2)}}
    return {"time": iso(time), "data": data}
