"""GET /nowcast/latest and /nowcast/{id}: the forecast, a place of it, its pictures and its files."""

from pathlib import Path
from typing import Annotated, Any, Final

from fastapi import APIRouter, Request, Response
from fastapi import Path as PathParameter
from fastapi.concurrency import run_in_threadpool
from fastapi.responses import FileResponse

from core.colours import CHANCE_COLOURS, NO_DATA, RAIN_COLOURS, Colour
from core.errors import NoDataError
from service.api import caching
from service.api.backend import Backend, BackendDep
from service.api.chosen import ForecastDep, ForecastId, PlaceDep, ProbabilityOf
from service.api.errors import documented
from service.api.negotiate import NETCDF, chosen_type
from service.api.places import graticule, map_cities
from service.api.recent import LATEST, needs_no_query
from service.api.views import forecast_out, point_out, status_of
from service.forecasts.fields import held
from service.forecasts.nowcast import Forecast
from service.forecasts.products import inputs_png, lead_png
from service.forecasts.retention import asked_for
from service.queries.chances import chance_png
from service.schemas.forecasts import ChanceColourOut, ColourOut, ForecastOut, MapOut, PointOut

router = APIRouter(prefix="/nowcast", tags=["forecasts"])

INVENTED: Final = "Invented weather, made by this service to show itself: no real radar data."
MEDIA_TYPES: Final = {
    ".nc": NETCDF,
    ".h5": "application/x-hdf5",
    ".tif": "image/tiff; application=geotiff; profile=cloud-optimized",
}
FILE: Final[dict[str, Any]] = {"content": {NETCDF: {"schema": {"type": "string", "format": "binary"}}}}
PICTURE: Final[dict[str, Any]] = {"content": {"image/png": {"schema": {"type": "string", "format": "binary"}}}}
NOT_MODIFIED: Final[dict[str, Any]] = {"description": "If-None-Match holds this answer"}
FIELD_ANSWERS: Final[dict[int | str, dict[str, Any]]] = {
    200: {"description": "the forecast, as JSON or as the CF-NetCDF file", **FILE},
    304: NOT_MODIFIED,
}


@router.get(
    "/{forecast_id}",
    summary="A forecast",
    response_model=ForecastOut,
    responses={**documented(404, 406, 422), **FIELD_ANSWERS},
)
def read_forecast(forecast_id: ForecastId, forecast: ForecastDep, backend: BackendDep, request: Request) -> Response:
    """The whole answer as JSON, or with `Accept: application/netcdf` the file itself."""
    if chosen_type(request.headers.get("accept")) == NETCDF:
        return file_answer(request, forecast, forecast.path, lifetime_s=lifetime_of(forecast_id, forecast, backend))
    answer = forecast_out(backend, forecast)
    scores = answer.verification.model_dump_json() if answer.verification else ""
    tag = caching.weak_etag(forecast, forecast_id, answer.status, scores)
    lifetime_s = caching.until_next_run_s(forecast, backend.settings)  # an old forecast's scores change with a new run
    return _json(request, answer, caching.headers(forecast, tag, lifetime_s=lifetime_s))


@router.get(
    "/{forecast_id}/point",
    summary="The forecast of one place",
    response_model=PointOut,
    responses={304: NOT_MODIFIED, **documented(404, 422)},
)
async def read_point(where: PlaceDep, forecast: ForecastDep, backend: BackendDep, request: Request) -> Response:
    """Rate and probabilities at each lead, and the next rain; off the grid it is `no coverage` with nulls, no error."""
    if needs_no_query(backend.settings) and held(forecast):  # from memory: a thread would take longer
        return _point(where, forecast, backend, request)
    return await run_in_threadpool(_point, where, forecast, backend, request)


def _point(where: tuple[float, float], forecast: Forecast, backend: Backend, request: Request) -> Response:
    tag = caching.weak_etag(forecast, str(where), status_of(backend, forecast))
    headers = caching.headers(forecast, tag, lifetime_s=caching.until_next_run_s(forecast, backend.settings))
    unchanged = caching.not_modified(request, headers)
    return unchanged or _json(request, point_out(backend, forecast, *where), headers)


@router.get(
    "/{forecast_id}/image/{lead}.png",
    summary="The picture of a lead",
    response_class=Response,
    responses={200: PICTURE, 304: NOT_MODIFIED, **documented(404, 422)},
)
def read_image(
    forecast_id: ForecastId,
    lead: Annotated[int, PathParameter(description="minutes after the reference time", examples=[30])],
    forecast: ForecastDep,
    backend: BackendDep,
    request: Request,
    probability_of: ProbabilityOf = None,
) -> Response:
    """Rain by colour (`/map` has the legend), transparent where dry, grey without radar data; north is on top.

    With `probability_of` the probability that a cell's rate is at or above it, in colours of its own.
    """
    if probability_of is None:
        png, part = lead_png(forecast, lead), f"image-{lead}"
    else:
        png, part = chance_png(forecast, lead, probability_of), f"image-{lead}-{probability_of:g}"
    return _picture(request, forecast, png, part, lifetime_of(forecast_id, forecast, backend))


@router.get(
    "/{forecast_id}/observed/{index}.png",
    summary="The picture of an input scan",
    response_class=Response,
    responses={200: PICTURE, 304: NOT_MODIFIED, **documented(404, 422)},
)
def read_observed(
    forecast_id: ForecastId,
    index: Annotated[int, PathParameter(ge=0, description="0 is the oldest scan of the window", examples=[0])],
    forecast: ForecastDep,
    backend: BackendDep,
    request: Request,
) -> Response:
    """What the model saw, on the forecast's grid, in the same colours."""
    png = inputs_png(forecast, index)
    return _picture(request, forecast, png, f"observed-{index}", lifetime_of(forecast_id, forecast, backend))


@router.get(
    "/{forecast_id}/observations.nc",
    summary="What followed, as CF-NetCDF",
    response_class=Response,
    responses={200: FILE, **documented(404, 422)},
)
def read_observations(forecast: ForecastDep, backend: BackendDep, request: Request) -> Response:
    """The observed frames of the leads on the forecast's grid, as the scores were taken; NaN where there is none."""
    backend.service.verification_of(forecast)  # gathers what has come in since
    path = forecast.observations_path
    if path is None:
        raise NoDataError(f"nothing that followed {forecast.reference_time:%Y-%m-%d %H:%M} UTC is stored yet")
    tag = f"observations-{path.stat().st_mtime_ns}"
    return file_answer(request, forecast, path, tag, lifetime_s=caching.SHORTEST_S)


@router.get("/{forecast_id}/map", summary="Orientation for the pictures", responses=documented(404, 422))
def read_map(forecast_id: ForecastId, forecast: ForecastDep, backend: BackendDep, response: Response) -> MapOut:
    """Cities, graticule and legend in the pictures' coordinates."""
    invented = backend.settings.invented and forecast.origin == "scans"
    lifetime_s = lifetime_of(forecast_id, forecast, backend)
    response.headers.update(caching.headers(forecast, caching.etag(forecast, "map"), lifetime_s=lifetime_s))
    return MapOut(
        width=forecast.grid.width,
        height=forecast.grid.height,
        cities=map_cities(forecast.grid),
        graticule=graticule(forecast.grid),
        legend=[ColourOut(from_mmh=rate_mmh, colour=_css(colour)) for rate_mmh, colour in RAIN_COLOURS],
        probability_legend=[ChanceColourOut(from_probability=edge, colour=_css(one)) for edge, one in CHANCE_COLOURS],
        no_data_colour=_css(NO_DATA),
        attribution=INVENTED if invented else f"Radar product {forecast.product}.",
    )


def file_answer(request: Request, forecast: Forecast, path: Path, *parts: str, lifetime_s: int) -> Response:
    """A stored file as it is."""
    asked_for(path)
    headers = caching.headers(forecast, caching.etag(forecast, *(parts or ("nc",))), lifetime_s=lifetime_s)
    said = path.name.split(".")[1:-1]
    name = "_".join([f"nowcast_{forecast.reference_time:%Y%m%dT%H%M}Z", *said]) + path.suffix
    return caching.not_modified(request, headers) or FileResponse(
        path, media_type=MEDIA_TYPES[path.suffix], headers=headers, filename=name, content_disposition_type="inline"
    )


def _json(request: Request, answer: ForecastOut | PointOut, headers: dict[str, str]) -> Response:
    return caching.not_modified(request, headers) or Response(
        answer.model_dump_json(), media_type="application/json", headers=headers
    )


def _picture(request: Request, forecast: Forecast, png: bytes, part: str, lifetime_s: int) -> Response:
    headers = caching.headers(forecast, caching.etag(forecast, part), lifetime_s=lifetime_s)
    return caching.not_modified(request, headers) or Response(png, media_type="image/png", headers=headers)


def lifetime_of(forecast_id: str, forecast: Forecast, backend: Backend) -> int:
    """What an id names never changes; what is the latest does."""
    return caching.until_next_run_s(forecast, backend.settings) if forecast_id == LATEST else caching.FOREVER_S


def _css(colour: Colour) -> str:
    red, green, blue, opacity = colour
    return f"rgba({red}, {green}, {blue}, {opacity / 255:.2f})"
