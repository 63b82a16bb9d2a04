"""GET /nowcast, /nowcast/latest and /nowcast/{id}: the list of forecasts, a forecast, its pictures."""

import hashlib
from datetime import timedelta
from typing import Annotated, Any, Final

from fastapi import APIRouter, Query, Request, Response
from fastapi import Path as PathParameter

from core.colours import CHANCE_COLOURS, NO_DATA, RAIN_COLOURS, css
from core.times import iso
from service.api import caching
from service.api.backend import Backend, BackendDep
from service.api.csv_tables import TableRoute, as_table
from service.api.errors import documented
from service.api.files import FIELD_ANSWERS, file_answer
from service.api.lanes import in_lane
from service.api.lookup import LATEST, ForecastDep, ForecastId, ProbabilityOf
from service.api.negotiate import NETCDF, chosen_type
from service.api.paging import Cursor, Limit, next_link, position_of
from service.api.pictures import picture_answer
from service.api.places import graticule, map_cities, outline
from service.api.proxies import public_prefix
from service.api.views import attribution_text, forecast_out, is_stale
from service.forecasts.nowcast import StoredForecast
from service.forecasts.observed import observation_png
from service.forecasts.products import inputs_png, lead_png
from service.queries.animation import AnimationKind, AnimationStyle, animation
from service.queries.probabilities import probability_png
from service.queries.zones import zone_of
from service.schemas.forecasts import ColourOut, ForecastOut, MapOut, ProbabilityColourOut, Time
from service.schemas.listings import ForecastRowOut, ForecastsOut

router = APIRouter(prefix="/nowcast", tags=["forecasts"], route_class=TableRoute)

ANIMATION: Final[dict[str, Any]] = {
    "content": {f"image/{kind}": {"schema": {"type": "string", "format": "binary"}} for kind in ("webp", "gif", "png")}
}
INVENTED_WORDS: Final = "INVENTED WEATHER"
REPLAYED_WORDS: Final = "REPLAY"
OLD_WORDS: Final = "OLD DATA"
OBSERVED_S: Final = 300
"""Lifetime of the picture of an observation."""

PICTURE: Final[dict[str, Any]] = {"content": {"image/png": {"schema": {"type": "string", "format": "binary"}}}}


@router.get(
    "", openapi_extra=as_table("forecasts"), summary="Stored forecasts, newest first", responses=documented(422)
)
def read_forecasts(
    backend: BackendDep,
    request: Request,
    response: Response,
    model: Annotated[
        str | None, Query(description="a name from GET /models; all models if omitted", max_length=200)
    ] = None,
    start: Annotated[
        Time | None, Query(description="first reference time, ISO 8601; UTC if it has no time zone")
    ] = None,
    end: Annotated[Time | None, Query(description="last reference time, ISO 8601; UTC if it has no time zone")] = None,
    limit: Limit = 100,
    cursor: Cursor = None,
) -> ForecastsOut:
    """Return scheduled and requested forecasts from ingested scans, baselines included, by reference time.

    A forecast from an upload is available by its id only.
    """
    found = backend.service.list(
        model=model, origin="scans", start=start, end=end, after=position_of(cursor), limit=limit + 1
    )
    last = found[limit - 1] if len(found) > limit else None
    link = next_link(request, response, (last.reference_time, last.id) if last else None)
    return ForecastsOut(forecasts=[_row(forecast) for forecast in found[:limit]], next=link)


@router.get(
    "/{forecast_id}",
    summary="A forecast",
    response_model=ForecastOut,
    responses={**documented(404, 406, 422), **FIELD_ANSWERS},
)
def read_forecast(forecast_id: ForecastId, forecast: ForecastDep, backend: BackendDep, request: Request) -> Response:
    """Return the forecast as JSON, or as the CF-NetCDF file with `Accept: application/netcdf`.

    The header `X-Clock` has the time against which ages count: the wall clock, in a replay that of its newest scan. A
    304 has it too: a kept answer has its age by `reference_time` and `stale_from`, since its `data_age_s` is that of
    the first response.
    """
    if chosen_type(request.headers.get("accept")) == NETCDF:
        return file_answer(
            request, forecast, forecast.path, lifetime_s=caching.lifetime_s(forecast_id, forecast, backend.service)
        )
    answer = forecast_out(backend, forecast)
    scores = answer.verification.model_dump_json() if answer.verification else ""
    tag = caching.weak_etag(forecast, forecast_id, answer.status, scores)
    lifetime_s = caching.until_next_run_s(forecast, backend.service)  # scores of an old forecast change with a new run
    clock = {"X-Clock": iso(answer.reference_time + timedelta(seconds=answer.data_age_s))}
    return _json(request, answer, caching.headers(forecast, tag, lifetime_s=lifetime_s) | clock)


@router.get(
    "/{forecast_id}/image/{lead}.png",
    summary="The picture of a lead",
    response_class=Response,
    dependencies=[in_lane("maps")],
    responses={200: PICTURE, 304: caching.NOT_MODIFIED, **documented(404, 422)},
)
def read_image(
    forecast_id: ForecastId,
    lead: Annotated[int, PathParameter(description="minutes after the reference time", examples=[30])],
    forecast: ForecastDep,
    backend: BackendDep,
    request: Request,
    probability_of: ProbabilityOf = None,
) -> Response:
    """Return the rain rate as a picture: transparent where dry, grey without radar data, north on top.

    Grid cells are hatched where rain can flow in from outside the observed area, so that transparent is not dry there.
    With `probability_of` it shows the probability that a grid cell reaches that threshold, in other colours. `/map` has
    the legends.
    """
    if probability_of is None:
        png, part = lead_png(forecast, lead), f"image-{lead}"
    else:
        png, part = probability_png(forecast, lead, probability_of), f"image-{lead}-{probability_of:g}"
    return _picture(request, backend, forecast, png, part, caching.lifetime_s(forecast_id, forecast, backend.service))


@router.get(
    "/{forecast_id}/observed/{index}.png",
    summary="The picture of an input frame",
    response_class=Response,
    dependencies=[in_lane("maps")],
    responses={200: PICTURE, 304: caching.NOT_MODIFIED, **documented(404, 422)},
)
def read_observed(
    forecast_id: ForecastId,
    index: Annotated[int, PathParameter(ge=0, description="index of the input frame, 0 is the oldest", examples=[0])],
    forecast: ForecastDep,
    backend: BackendDep,
    request: Request,
) -> Response:
    """Return the picture of an input frame of the model, on the forecast's grid, in the same colours."""
    png = inputs_png(forecast, index)
    return _picture(
        request, backend, forecast, png, f"observed-{index}", caching.lifetime_s(forecast_id, forecast, backend.service)
    )


@router.get(
    "/{forecast_id}/animation.{kind}",
    summary="An animated picture of a forecast",
    response_class=Response,
    dependencies=[in_lane("maps")],
    responses={200: ANIMATION, 304: caching.NOT_MODIFIED, **documented(404, 422)},
)
def read_animation(
    kind: Annotated[AnimationKind, PathParameter(description="`png` is an animated PNG", examples=["webp"])],
    forecast: ForecastDep,
    backend: BackendDep,
    request: Request,
    width: Annotated[int, Query(description="in pixels", ge=200, le=1200, examples=[300])] = 480,
    tz: Annotated[str, Query(description="IANA time zone of the times", max_length=100)] = "UTC",
) -> Response:
    """Return the scans that the forecast starts from, then its leads, with coasts, borders and cities."""
    invented = backend.settings.invented and forecast.origin == "scans"
    replayed = forecast.weather == "replayed" and not invented
    reasons = (INVENTED_WORDS, invented), (REPLAYED_WORDS, replayed), (OLD_WORDS, is_stale(backend, forecast))
    alarms = [words for words, applies in reasons if applies]
    zone = zone_of(tz).key
    style = AnimationStyle(kind, width, zone, attribution_text(forecast, backend.settings), " ".join(alarms))
    tag = caching.etag(forecast, "animation", kind, f"{width}-{zone.replace('/', '.')}", *(str(len(alarms)),))
    lifetime_s = caching.lifetime_s(LATEST, forecast, backend.service)  # an old one becomes stale
    headers = caching.headers(forecast, tag, lifetime_s=lifetime_s)
    unchanged = caching.not_modified(request, headers)
    return unchanged or Response(animation(forecast, style), media_type=f"image/{kind}", headers=headers)


@router.get(
    "/{forecast_id}/observations/{lead}.png",
    summary="The picture of what was observed at a lead",
    response_class=Response,
    dependencies=[in_lane("maps")],
    responses={200: PICTURE, 304: caching.NOT_MODIFIED, **documented(404, 422)},
)
def read_observation(
    lead: Annotated[int, PathParameter(description="minutes after the reference time", examples=[30])],
    forecast: ForecastDep,
    backend: BackendDep,
    request: Request,
) -> Response:
    """Return the scan of the lead's time on the forecast's grid, in the same colours; 404 before it is stored."""
    png = observation_png(backend.service.store, forecast, lead)
    digest = hashlib.sha256(png).hexdigest()[:16]  # a late file with more radars may replace the scan
    return _picture(request, backend, forecast, png, f"observations-{lead}-{digest}", OBSERVED_S)


@router.get(
    "/{forecast_id}/map", summary="Cities, graticule and legend of the pictures", responses=documented(404, 422)
)
def read_map(forecast_id: ForecastId, forecast: ForecastDep, backend: BackendDep, response: Response) -> MapOut:
    """Return cities, graticule and legend in the coordinates of the pictures."""
    lifetime_s = caching.lifetime_s(forecast_id, forecast, backend.service)
    response.headers.update(caching.headers(forecast, caching.etag(forecast, "map"), lifetime_s=lifetime_s))
    return MapOut(
        outline_lon_lat=outline(forecast.grid),
        width=forecast.grid.width,
        height=forecast.grid.height,
        cities=map_cities(forecast.grid),
        graticule=graticule(forecast.grid),
        legend=[ColourOut(from_mmh=rate_mmh, colour=css(colour)) for rate_mmh, colour in RAIN_COLOURS],
        probability_legend=[
            ProbabilityColourOut(from_probability=edge, colour=css(colour)) for edge, colour in CHANCE_COLOURS
        ],
        no_data_colour=css(NO_DATA),
        attribution=attribution_text(forecast, backend.settings),
    )


def _json(request: Request, answer: ForecastOut, headers: dict[str, str]) -> Response:
    return caching.not_modified(request, headers) or Response(
        answer.model_dump_json(), media_type="application/json", headers=headers
    )


def _picture(
    request: Request, backend: Backend, forecast: StoredForecast, png: bytes, part: str, lifetime_s: int
) -> Response:
    headers = caching.headers(forecast, caching.etag(forecast, part), lifetime_s=lifetime_s)
    unchanged = caching.not_modified(request, headers)
    return unchanged or picture_answer(png, attribution_text(forecast, backend.settings), headers)


def _row(forecast: StoredForecast) -> ForecastRowOut:
    return ForecastRowOut.of(forecast, forecast_id=forecast.id, href=f"{public_prefix()}/nowcast/{forecast.id}")
