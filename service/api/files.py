"""GET /nowcast/{id}/file.nc, .h5 and .tif: a forecast as a file, on the model's grid or on that of the scans."""

from typing import Annotated, Any, Final, Literal

from fastapi import APIRouter, Query, Request, Response

from service.api.backend import Backend, BackendDep
from service.api.chosen import ForecastDep, ForecastId
from service.api.errors import documented
from service.api.forecasts import MEDIA_TYPES, NOT_MODIFIED, file_answer, lifetime_of
from service.forecasts.exports import RESAMPLING, SOURCE, exported
from service.forecasts.nowcast import Forecast

router = APIRouter(prefix="/nowcast", tags=["files"])

BINARY: Final[dict[str, Any]] = {"schema": {"type": "string", "format": "binary"}}
GridName = Annotated[
    Literal["model", "source"],
    Query(description=f"`model`: as forecast; `source`: on the grid of the scans, {RESAMPLING}", examples=["model"]),
]
Lead = Annotated[
    int | None, Query(description="this lead alone, in minutes; none is all of them", ge=1, le=100_000, examples=[30])
]


def _answers(suffix: str) -> dict[int | str, dict[str, Any]]:
    file = {"description": "the file", "content": {MEDIA_TYPES[suffix]: BINARY}}
    return {200: file, 304: NOT_MODIFIED, **documented(404, 406, 422)}


@router.get(
    "/{forecast_id}/file.nc",
    summary="The forecast as CF-NetCDF",
    response_class=Response,
    responses=_answers(".nc"),
)
def read_netcdf(
    forecast_id: ForecastId, forecast: ForecastDep, backend: BackendDep, request: Request, grid: GridName = "model"
) -> Response:
    """`rainfall_rate(time, y, x)` in mm h-1 with its coverage mask; xarray, GDAL and QGIS open it."""
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
    lead: Lead = None,
) -> Response:
    """Quantity RATE, a data set for each lead; wradlib reads all of them, pysteps the first: give it one `lead`."""
    return _file(request, backend, forecast_id, forecast, "h5", grid, lead)


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
    """Rates in mm/h, a band for each lead, NaN without radar data; with overviews, and read in parts by ranges."""
    return _file(request, backend, forecast_id, forecast, "tif", grid, lead)


def _file(
    request: Request,
    backend: Backend,
    forecast_id: str,
    forecast: Forecast,
    suffix: str,
    grid: str,
    lead: int | None,
) -> Response:
    path = exported(forecast, suffix, source=grid == SOURCE, lead_minutes=lead)
    parts = [suffix, grid, str(lead or "all")] if path != forecast.path else []
    return file_answer(request, forecast, path, *parts, lifetime_s=lifetime_of(forecast_id, forecast, backend))
