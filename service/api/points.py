"""GET /nowcast/{id}/point and /motion: a forecast at one place or at several, and the motion of the rain."""

from dataclasses import dataclass
from typing import Annotated, Any, Final
from zoneinfo import ZoneInfo

from fastapi import APIRouter, Depends, Query, Request, Response
from fastapi.concurrency import run_in_threadpool
from pydantic_core import to_json

from service.api import caching
from service.api.backend import Backend, BackendDep
from service.api.csv_tables import MEDIA_TYPE, TableRoute, as_table
from service.api.errors import documented
from service.api.geometry import parsed_bbox
from service.api.lookup import ForecastDep, PlacesDep, needs_no_query, place
from service.api.negotiate import CSV, JSON, chosen_type
from service.api.pictures import picture_answer
from service.api.point_picture import Alarm, PointPicture
from service.api.point_views import UTC_NAME, motion_document, point_document, points_csv
from service.api.views import status_of
from service.forecasts.fields import held
from service.forecasts.members import has_members, members_held
from service.forecasts.nowcast import StoredForecast
from service.queries.zones import zone_at, zone_of
from service.schemas.places import MotionOut, PointOut
from service.schemas.sentence import Language

router = APIRouter(prefix="/nowcast", tags=["forecasts"], route_class=TableRoute)

AUTO: Final = "auto"
ANSWERS: Final[dict[int | str, dict[str, Any]]] = {
    200: {"description": "a document, a list of them for several places, or a table", "content": {CSV: {}}},
    304: caching.NOT_MODIFIED,
    **documented(404, 406, 422),
}


@dataclass(frozen=True)
class PlacesQuery:
    """The places of a request, the zone of its times (None: of each place), and the media type of the response."""

    places: list[tuple[float, float]]
    zone: ZoneInfo | None
    kind: str

    @property
    def text(self) -> str:
        """Return all of it as text, which distinguishes responses in their ETag."""
        return f"{self.places} {AUTO if self.zone is None else self.zone.key} {self.kind}"

    def zone_at(self, lat: float, lon: float) -> ZoneInfo:
        """Return the zone of the times of a place."""
        return zone_at(lat, lon) if self.zone is None else self.zone


async def places_query(
    request: Request,
    places: PlacesDep,
    tz: Annotated[
        str,
        Query(
            description="IANA time zone of all times; `auto` is that of the place",
            max_length=100,
            examples=["Europe/Berlin"],
        ),
    ] = UTC_NAME,
) -> PlacesQuery:
    """Return the parameters of a request.

    Raises:
        InputError: not places on Earth, or no such time zone.
        NotAcceptableError: neither JSON nor CSV.
    """
    return PlacesQuery(
        places, None if tz == AUTO else zone_of(tz), chosen_type(request.headers.get("accept"), (JSON, CSV))
    )


@router.get(
    "/{forecast_id}/point",
    summary="The forecast at a place, or at several",
    response_model=PointOut | list[PointOut],
    responses=ANSWERS,
)
async def read_point(
    query: Annotated[PlacesQuery, Depends(places_query)], forecast: ForecastDep, backend: BackendDep, request: Request
) -> Response:
    """Return the newest scan, then rate, quantiles and exceedance probabilities at each lead, and the next rain.

    Several places are answered by a list in their order. With `Accept: text/csv` the response is a table with a row for
    each place and time. A place outside the grid has `no coverage` and null values; it is not an error.
    """
    # from memory: starting a thread would take longer
    if len(query.places) == 1 and needs_no_query(backend.settings) and _is_held(forecast, *query.places[0]):
        return _point(query, forecast, backend, request)
    return await run_in_threadpool(_point, query, forecast, backend, request)


def _is_held(forecast: StoredForecast, lat: float, lon: float) -> bool:
    """Return whether the response for a place reads no file: one may wait for another request's long read."""
    return held(forecast) and members_held(forecast, forecast.grid.cell_of(lat, lon))


def _point(query: PlacesQuery, forecast: StoredForecast, backend: Backend, request: Request) -> Response:
    # amounts and the next rain change with the members
    tag = caching.weak_etag(forecast, query.text, str(has_members(forecast)), status_of(backend, forecast))
    headers = caching.headers(forecast, tag, lifetime_s=caching.with_members_s(forecast, backend.service))
    unchanged = caching.not_modified(request, headers)
    if unchanged is not None:
        return unchanged
    points = [point_document(backend, forecast, lat, lon, query.zone_at(lat, lon)) for lat, lon in query.places]
    if query.kind == CSV:
        return Response(points_csv(points, forecast.thresholds_mmh), media_type=MEDIA_TYPE, headers=headers)
    return Response(
        to_json(points[0] if len(points) == 1 else points, inf_nan_mode="null"), media_type=JSON, headers=headers
    )


@router.get(
    "/{forecast_id}/point.png",
    summary="The forecast at a place as a picture",
    response_class=Response,
    responses={
        200: {"content": {"image/png": {"schema": {"type": "string", "format": "binary"}}}},
        304: caching.NOT_MODIFIED,
        **documented(404, 422),
    },
)
def read_point_picture(
    where: Annotated[tuple[float, float], Depends(place)],
    forecast: ForecastDep,
    backend: BackendDep,
    request: Request,
    lang: Annotated[Language, Query(description="language of the words", examples=["de"])] = "en",
    tz: Annotated[str, Query(description="IANA time zone; `auto` is that of the place", max_length=100)] = AUTO,
    width: Annotated[int, Query(description="in pixels", ge=200, le=1600, examples=[300])] = 480,
    dark: Annotated[bool, Query(description="light letters on a dark ground")] = False,
) -> Response:
    """Return bars of the rate with their 10 to 90 % band, the chance of rain, and a sentence; for use in other pages.

    Lines instead of a bar mark what no radar observes, or where rain can flow in from there.
    """
    zone = zone_at(*where) if tz == AUTO else zone_of(tz)
    look = f"png {where} {zone.key} {lang} {width} {dark} {has_members(forecast)}"
    tag = caching.weak_etag(forecast, look, status_of(backend, forecast))
    headers = caching.headers(forecast, tag, lifetime_s=caching.with_members_s(forecast, backend.service))
    unchanged = caching.not_modified(request, headers)
    if unchanged is not None:
        return unchanged
    point = PointOut.model_validate(point_document(backend, forecast, *where, zone))
    png = PointPicture(point, lang, width, dark=dark, alarm=_alarm(forecast, backend)).png()
    return picture_answer(png, point.attribution, headers)


def _alarm(forecast: StoredForecast, backend: Backend) -> Alarm:
    """Return what the weather of a forecast is if it is not observed now."""
    if backend.settings.invented and forecast.origin == "scans":
        return "invented"
    return "replayed" if forecast.weather == "replayed" else None


@router.get(
    "/{forecast_id}/motion",
    openapi_extra=as_table("vectors", repeat=("forecast_id", "reference_time", "status", "attribution")),
    summary="The motion of the rain",
    responses={304: caching.NOT_MODIFIED, **documented(404, 413, 422)},
    response_model=MotionOut,
)
def read_motion(
    forecast: ForecastDep,
    backend: BackendDep,
    request: Request,
    every_km: Annotated[
        float, Query(gt=0, allow_inf_nan=False, description="distance of two vectors", examples=[50])
    ] = 50,
    bbox: Annotated[
        str | None,
        Query(description="west,south,east,north in degrees", max_length=200, examples=["9.2,50.3,11.1,51.9"]),
    ] = None,
) -> Response:
    """Return vectors of the motion in the last hour, which the forecast extends; none where there is no radar data."""
    box = None if bbox is None else parsed_bbox(bbox)
    tag = caching.weak_etag(forecast, f"motion {every_km} {bbox}", status_of(backend, forecast))
    headers = caching.headers(forecast, tag, lifetime_s=caching.until_next_run_s(forecast, backend.service))
    return caching.not_modified(request, headers) or Response(
        motion_document(backend, forecast, every_km, box).model_dump_json(), media_type=JSON, headers=headers
    )
