"""GET /nowcast/{id}/file.nc, .h5, .tif and /observations.nc: a forecast and what was observed, as files."""

from pathlib import Path
from typing import Annotated, Any, Final, Literal

from fastapi import APIRouter, Query, Request, Response
from fastapi.responses import FileResponse

from core.errors import NoDataError
from service.api import caching
from service.api.backend import Backend, BackendDep
from service.api.errors import documented
from service.api.lookup import ForecastDep, ForecastId
from service.api.negotiate import NETCDF
from service.forecasts.exports import RESAMPLING, SOURCE, exported
from service.forecasts.nowcast import StoredForecast
from service.forecasts.retention import mark_used

router = APIRouter(prefix="/nowcast", tags=["files"])

MEDIA_TYPES: Final = {
    ".nc": NETCDF,
    ".h5": "application/x-hdf5",
    ".tif": "image/tiff; application=geotiff; profile=cloud-optimized",
}
BINARY: Final[dict[str, Any]] = {"schema": {"type": "string", "format": "binary"}}
FILE: Final[dict[str, Any]] = {"content": {NETCDF: BINARY}}
FIELD_ANSWERS: Final[dict[int | str, dict[str, Any]]] = {
    200: {"description": "the forecast as JSON or as CF-NetCDF file", **FILE},
    304: caching.NOT_MODIFIED,
}
GridName = Annotated[
    Literal["model", "source"],
    Query(description=f"`model`: the model's grid; `source`: the grid of the scans, {RESAMPLING}", examples=["model"]),
]
Lead = Annotated[
    int | None, Query(description="a single lead in minutes; all leads if omitted", ge=1, le=100_000, examples=[30])
]
OneLead = Annotated[
    int | None, Query(description="lead in minutes; the first one if omitted", ge=1, le=100_000, examples=[30])
]


def _answers(suffix: str) -> dict[int | str, dict[str, Any]]:
    file = {"description": "the file", "content": {MEDIA_TYPES[suffix]: BINARY}}
    return {200: file, 304: caching.NOT_MODIFIED, **documented(404, 406, 422)}


@router.get(
    "/{forecast_id}/file.nc",
    summary="The forecast as CF-NetCDF",
    response_class=Response,
    responses=_answers(".nc"),
)
def read_netcdf(
    forecast_id: ForecastId, forecast: ForecastDep, backend: BackendDep, request: Request, grid: GridName = "model"
) -> Response:
    """Return `rainfall_rate(time, y, x)` in mm h-1 with its coverage mask, for xarray, GDAL and QGIS."""
    return _file(request, backend, forecast_id, forecast, "nc", grid, None)


@router.get(
    "/{forecast_id}/file.h5",
    summary="The forecast as ODIM_H5",
    response_class=Response,
    responses=_answers(".h5"),
)
def read_odim(
    forecast_id: ForecastId,
    forecast: ForecastDep,
    backend: BackendDep,
    request: Request,
    grid: GridName = "model",
    lead: OneLead = None,
) -> Response:
    """Return quantity RATE of one lead: readers such as pysteps take the first data set alone and silently."""
    return _file(request, backend, forecast_id, forecast, "h5", grid, lead or forecast.lead_minutes[0])


@router.get(
    "/{forecast_id}/file.tif",
    summary="The forecast as cloud-optimised GeoTIFF",
    response_class=Response,
    responses=_answers(".tif"),
)
def read_geotiff(
    forecast_id: ForecastId,
    forecast: ForecastDep,
    backend: BackendDep,
    request: Request,
    grid: GridName = "model",
    lead: Lead = None,
) -> Response:
    """Return rates in mm/h, one band per lead, NaN without radar data.

    The file has overviews and may be read in parts by range requests.
    """
    return _file(request, backend, forecast_id, forecast, "tif", grid, lead)


@router.get(
    "/{forecast_id}/observations.nc",
    summary="The verifying observations as CF-NetCDF",
    response_class=Response,
    responses={200: FILE, **documented(404, 422)},
)
def read_observations(forecast: ForecastDep, backend: BackendDep, request: Request) -> Response:
    """Return the observations that verify the forecast, at its leads and on its grid; NaN where none is stored."""
    backend.service.verification_of(forecast)  # collects the frames received since
    path = forecast.observations_path
    if path is None:
        raise NoDataError(f"no observation after {forecast.reference_time:%Y-%m-%d %H:%M} UTC is stored yet")
    tag = f"observations-{path.stat().st_mtime_ns}"
    return file_answer(request, forecast, path, tag, lifetime_s=caching.SHORTEST_S)


def file_answer(request: Request, forecast: StoredForecast, path: Path, *parts: str, lifetime_s: int) -> Response:
    """Return a stored file with its validators."""
    mark_used(path)
    headers = caching.headers(forecast, caching.etag(forecast, *(parts or ("nc",))), lifetime_s=lifetime_s)
    parts_of_name = path.name.split(".")[1:-1]
    name = "_".join([f"nowcast_{forecast.reference_time:%Y%m%dT%H%M}Z", *parts_of_name]) + path.suffix
    return caching.not_modified(request, headers) or FileResponse(
        path, media_type=MEDIA_TYPES[path.suffix], headers=headers, filename=name, content_disposition_type="inline"
    )


def _file(
    request: Request,
    backend: Backend,
    forecast_id: str,
    forecast: StoredForecast,
    suffix: str,
    grid: str,
    lead: int | None,
) -> Response:
    path = exported(forecast, suffix, source=grid == SOURCE, lead_minutes=lead)
    parts = [suffix, grid, str(lead or "all")] if path != forecast.path else []
    lifetime_s = caching.lifetime_s(forecast_id, forecast, backend.service)
    return file_answer(request, forecast, path, *parts, lifetime_s=lifetime_s)
