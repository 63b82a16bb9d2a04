"""GET /v1/forecast: `minutely_15` of Open-Meteo's forecast API, of the variables that we have.

Fields by https://open-meteo.com/en/docs: a value is the depth of the 15 minutes before its time. A problem document of
status 400 has the members of that API's errors as well: `{"error": true, "reason": ...}`. `elevation` is a number,
since clients of the original expect one; a radar knows none, so that it is the one that was sent, or 0.
"""

from datetime import UTC, datetime, timedelta
from math import isfinite
from time import perf_counter
from typing import Annotated, Any, Final
from zoneinfo import ZoneInfo

from fastapi import APIRouter, Query, Request

from core.errors import InputError, shown
from service.api.backend import Backend, BackendDep
from service.api.errors import documented, problem
from service.api.lookup import MOST_PLACES
from service.forecasts.nowcast import StoredForecast
from service.foreign.newest import NewestDep, depth_mm, point_at, rain_probability, rates_of
from service.queries.cells import checked_place
from service.queries.zones import zone_at, zone_of
from service.schemas.places import PointOut

router = APIRouter(tags=["interfaces of others"])

STEP: Final = timedelta(minutes=15)
UNITS: Final = {"precipitation": "mm", "rain": "mm", "precipitation_probability": "%"}
GMT: Final = ("GMT", "UTC")
LATITUDE: Final = Query(
    description="degrees north; several places separated by commas", max_length=4000, examples=["52.52"]
)
LONGITUDE: Final = Query(description="degrees east, one for each latitude", max_length=4000, examples=["13.4"])


@router.get(
    "/v1/forecast",
    summary="Depths of 15 minutes as Open-Meteo's API",
    responses=documented(400, 404, 422),
)
def read_open_meteo_forecast(
    forecast: NewestDep,
    backend: BackendDep,
    request: Request,
    latitude: Annotated[str, LATITUDE],
    longitude: Annotated[str, LONGITUDE],
    minutely_15: Annotated[
        list[str] | None, Query(description="precipitation, rain, precipitation_probability; repeated or by commas")
    ] = None,
    timezone: Annotated[str, Query(description="IANA name, GMT, or auto", max_length=100)] = "GMT",
    timeformat: Annotated[str, Query(description="iso8601 or unixtime", max_length=20)] = "iso8601",
    elevation: Annotated[str, Query(description="metres; it is repeated only", max_length=4000)] = "0",
    form: Annotated[str, Query(alias="format", description="json", max_length=20)] = "json",
) -> Any:
    """Return the variables of `minutely_15` from the reference time on; another one is an error that names it."""
    began = perf_counter()
    try:
        if form != "json":
            raise InputError(f"format: expected json, got {shown(form)}")
        names = _names(minutely_15 or [])
        places = _places(latitude, longitude)
        heights = _heights(elevation, len(places))
        if timeformat not in ("iso8601", "unixtime"):
            raise InputError(f"timeformat: expected iso8601 or unixtime, got {shown(timeformat)}")
        found = [_answer(backend, forecast, place, timezone, names, timeformat) for place in places]
    except InputError as err:
        return problem(request, 400, err.title, str(err), error=True, reason=str(err))
    took_ms = round((perf_counter() - began) * 1000, 3)
    for one, height in zip(found, heights, strict=True):
        one |= {"elevation": height, "generationtime_ms": took_ms}
    return found[0] if len(found) == 1 else found


def _names(sent: list[str]) -> list[str]:
    names = [name.strip() for part in sent for name in part.split(",") if name.strip()]
    unknown = [name for name in names if name not in UNITS]
    if unknown:
        raise InputError(f"minutely_15: expected some of {', '.join(UNITS)}, got {shown(unknown[0])}")
    return list(dict.fromkeys(names))


def _places(latitude: str, longitude: str) -> list[tuple[float, float]]:
    try:
        lats, lons = ([float(part) for part in text.split(",")] for text in (latitude, longitude))
    except ValueError as err:
        raise InputError("latitude, longitude: expected numbers of degrees") from err
    if len(lats) != len(lons) or len(lats) > MOST_PLACES:
        raise InputError(
            f"latitude, longitude: expected as many, at most {MOST_PLACES}, got {len(lats)} and {len(lons)}"
        )
    return [checked_place(lat, lon, ("latitude", "longitude")) for lat, lon in zip(lats, lons, strict=True)]


def _heights(elevation: str, places: int) -> list[float]:
    try:
        found = [float(part) for part in elevation.split(",")]
    except ValueError as err:
        raise InputError(f"elevation: expected numbers of metres, got {shown(elevation)}") from err
    if len(found) not in (1, places):
        raise InputError(f"elevation: expected one, or one for each of {places} places, got {len(found)}")
    known = [height if isfinite(height) else 0.0 for height in found]
    return known * places if len(known) == 1 else known


def _zone(name: str, place: tuple[float, float]) -> ZoneInfo:
    if name == "auto":
        return zone_at(*place)
    return ZoneInfo("UTC") if name in GMT else zone_of(name)


def _answer(
    backend: Backend,
    forecast: StoredForecast,
    place: tuple[float, float],
    timezone: str,
    names: list[str],
    timeformat: str,
) -> dict[str, Any]:
    zone = _zone(timezone, place)
    point = point_at(backend, forecast, *place, zone)
    now = forecast.reference_time.astimezone(zone)
    offset = now.utcoffset() or timedelta(0)
    answer: dict[str, Any] = {
        "latitude": place[0],
        "longitude": place[1],
        "attribution": point.attribution,
        "utc_offset_seconds": int(offset.total_seconds()),
        "timezone": "GMT" if zone.key == "UTC" else zone.key,
        "timezone_abbreviation": "GMT" if zone.key == "UTC" else f"{now:%Z}",
    }
    if names:
        times = _times(forecast)
        columns = {name: _column(name, point, times) for name in names}
        shown_times = [_text(time, offset, timeformat) for time in times]
        answer["minutely_15_units"] = {"time": timeformat, **{name: UNITS[name] for name in names}}
        answer["minutely_15"] = {"time": shown_times, **columns}
    return answer


def _times(forecast: StoredForecast) -> list[datetime]:
    """Return the ends of the whole quarters of an hour within the leads."""
    start, end = forecast.reference_time.astimezone(UTC), forecast.valid_times[-1]
    late = timedelta(minutes=start.minute % 15, seconds=start.second, microseconds=start.microsecond)
    time = start - late + (2 if late else 1) * STEP
    times = []
    while time <= end:
        times.append(time)
        time += STEP
    return times


def _column(name: str, point: PointOut, times: list[datetime]) -> list[float | None]:
    if name != "precipitation_probability":
        rates = rates_of(point)
        depths = [depth_mm(rates, time - STEP, time) for time in times]
        return [None if depth is None else round(depth, 2) for depth in depths]
    found: list[float | None] = []
    for time in times:
        within = [rain_probability(lead) for lead in point.series if time - STEP < lead.valid_time <= time]
        known = [one for one in within if one is not None]
        found.append(round(100 * max(known)) if known else None)
    return found


def _text(time: datetime, offset: timedelta, timeformat: str) -> str | int:
    return int(time.timestamp()) if timeformat == "unixtime" else f"{time + offset:%Y-%m-%dT%H:%M}"
