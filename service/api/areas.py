"""GET /nowcast/{id}/box, /area and /accumulation: parts of a forecast as JSON, or as CF-NetCDF if they are large."""

from collections.abc import Callable
from functools import partial
from typing import Annotated, Any, Final

from fastapi import APIRouter, Query, Request, Response
from fastapi.concurrency import run_in_threadpool
from pydantic import BaseModel, Field

from core.errors import InputError, NoDataError, TooLargeError
from service.api import caching
from service.api.area_views import area_out, box_amount_out, box_out, place_amount_out
from service.api.backend import Backend, BackendDep
from service.api.csv_tables import TableRoute, as_table
from service.api.errors import documented
from service.api.geometry import parsed_bbox, parsed_polygon, polygon_of
from service.api.lookup import ForecastDep, ProbabilityOf, place
from service.api.negotiate import JSON, NETCDF, chosen_type
from service.api.views import status_of
from service.forecasts.members import has_members
from service.forecasts.nowcast import StoredForecast
from service.forecasts.probabilities import threshold_index
from service.queries.amounts import AMOUNT
from service.queries.cells import BBox
from service.queries.quantities import quantities_file, quantities_of
from service.queries.regions import BoxField, box_field
from service.schemas.areas import AreaOut, BoxAmountOut, BoxOut, GeoJson, PlaceAmountOut

router = APIRouter(prefix="/nowcast", tags=["areas"], route_class=TableRoute)

MOST_JSON_CELLS: Final = 10_000
"""Limit for JSON, per field; NetCDF may hold the whole grid."""

FIELD: Final[dict[int | str, dict[str, Any]]] = {
    200: {
        "description": "the grid cells, as JSON or as CF-NetCDF",
        "content": {NETCDF: {"schema": {"type": "string", "format": "binary"}}},
    },
    304: caching.NOT_MODIFIED,
}
RUN: Final = ("forecast_id", "reference_time", "status", "attribution")
"""What each row of a table says of its forecast."""

BBoxText = Annotated[
    str,
    Query(
        description="west,south,east,north in degrees; a box with west greater than east crosses the antimeridian",
        max_length=200,
        examples=["13.0,52.3,13.8,52.7"],
    ),
]
OptionalBBox = Annotated[
    str | None,
    Query(description="as for `box`; instead of `lat` and `lon`", max_length=200, examples=["9.2,50.3,11.1,51.9"]),
]
PolygonText = Annotated[
    str,
    Query(
        description="WKT or GeoJSON, longitude before latitude; send a long one in the body of POST",
        max_length=60_000,
        examples=["POLYGON((9.2 50.3, 11.1 50.4, 10.4 51.9, 9.2 50.3))"],
    ),
]
Shares = Annotated[
    list[Annotated[float, Field(gt=0, le=1)]],
    Query(
        description="share of the polygon whose probability of reaching each threshold is wanted; may be repeated",
        max_length=5,
        examples=[[0.1, 0.5]],
    ),
]
DEFAULT_SHARES: Final[list[float]] = [0.1, 0.5]


@router.get(
    "/{forecast_id}/box",
    summary="The grid cells of a box",
    response_model=BoxOut,
    responses={**documented(404, 406, 413, 422), **FIELD},
)
def read_box(
    bbox: BBoxText,
    forecast: ForecastDep,
    backend: BackendDep,
    request: Request,
    probability_of: ProbabilityOf = None,
) -> Response:
    """Return the smallest rectangle of grid cells that contains the box, at each lead time.

    A box outside the grid has null values and is not an error. With `probability_of` the response also has the
    exceedance probabilities of that threshold; NetCDF holds those of every threshold.
    """
    if probability_of is not None:
        # an unknown threshold is an error in every format, also for a box outside the grid
        threshold_index(forecast.thresholds_mmh, probability_of)
    as_json = partial(box_out, probability_of=probability_of)
    part = "box" if probability_of is None else f"box-{probability_of:g}"
    return _box_answer(request, backend, forecast, parsed_bbox(bbox), as_json, _whole_box, part)


@router.get(
    "/{forecast_id}/area",
    openapi_extra=as_table("leads", repeat=RUN),
    summary="The mean over a polygon",
    response_model=AreaOut,
    responses={304: FIELD[304], **documented(404, 413, 422)},
)
def read_area(
    polygon: PolygonText,
    forecast: ForecastDep,
    backend: BackendDep,
    request: Request,
    share: Shares = DEFAULT_SHARES,
) -> Response:
    """Return means weighted by the true area of the polygon in each grid cell, exact at its edge.

    `cell_probabilities` are those of single cells, not of rain anywhere in the polygon; `area_probabilities`, from
    ensemble members, are those of a share of the polygon.
    """
    shape = parsed_polygon(polygon)
    parts = ("area", polygon, str(share), str(has_members(forecast)))
    lifetime_s = caching.with_members_s(forecast, backend.service)
    made = partial(area_out, backend, forecast, shape, share)
    return _answer(request, backend, forecast, made, *parts, lifetime_s=lifetime_s)


@router.post(
    "/{forecast_id}/area", summary="The mean over a long polygon", responses=documented(401, 403, 404, 413, 422)
)
def post_area(polygon: GeoJson, forecast: ForecastDep, backend: BackendDep, share: Shares = DEFAULT_SHARES) -> AreaOut:
    """Return the same as GET, for a GeoJSON outline in the body that is too long for a URL."""
    return area_out(backend, forecast, polygon_of(polygon.model_dump()), share)


@router.get(
    "/{forecast_id}/accumulation",
    openapi_extra=as_table("leads", repeat=(*RUN, "lat", "lon")),
    summary="Accumulated rain",
    response_model=PlaceAmountOut | BoxAmountOut,
    responses={**documented(404, 406, 413, 422), **FIELD},
)
async def read_accumulation(
    forecast: ForecastDep,
    backend: BackendDep,
    request: Request,
    lat: Annotated[float | None, Query(description="latitude of a place in degrees north", examples=[52.52])] = None,
    lon: Annotated[float | None, Query(description="longitude of a place in degrees east", examples=[13.4])] = None,
    bbox: OptionalBBox = None,
) -> Response:
    """Return the depth in mm from the reference time to each lead, for a place (`lat`, `lon`) or the cells of a `bbox`.

    The response states the rule: an unknown interval is null and never counted as dry.
    """
    if bbox is None and lat is not None and lon is not None:
        where = await place(lat, lon)
        return await run_in_threadpool(
            _answer,
            request,
            backend,
            forecast,
            lambda: place_amount_out(backend, forecast, *where),
            "amount",
            str(where),
        )
    if bbox is None or lat is not None or lon is not None:
        raise InputError(f"expected either lat and lon, or bbox alone, got lat={lat}, lon={lon}, bbox={bbox}")
    box = parsed_bbox(bbox)
    return await run_in_threadpool(_box_answer, request, backend, forecast, box, box_amount_out, _amounts, "box-amount")


def _box_answer(
    request: Request,
    backend: Backend,
    forecast: StoredForecast,
    bbox: BBox,
    as_json: Callable[[Backend, StoredForecast, BBox, BoxField | None], BaseModel],
    as_file: Callable[[StoredForecast, BoxField], bytes],
    part: str,
) -> Response:
    """Return a box in the requested format.

    Raises:
        NoDataError: NetCDF of a box outside the grid.
        TooLargeError: too many cells for JSON.
    """
    wanted = chosen_type(request.headers.get("accept"))
    box = box_field(forecast, bbox)
    if wanted == JSON and box is not None and box.block.cells > MOST_JSON_CELLS:
        raise TooLargeError(
            f"bbox: expected at most {MOST_JSON_CELLS} cells for JSON, got {box.block.cells}: request a smaller box or "
            f"a file with `Accept: {NETCDF}`"
        )
    if wanted == JSON:
        return _answer(request, backend, forecast, lambda: as_json(backend, forecast, bbox, box), part, str(bbox))
    if box is None:
        raise NoDataError(
            f"bbox {','.join(f'{edge:g}' for edge in bbox)} is outside the grid; a file has at least one cell"
        )
    tag = caching.weak_etag(forecast, part, NETCDF, str(bbox))
    headers = caching.headers(forecast, tag, lifetime_s=caching.until_next_run_s(forecast, backend.service))
    return caching.not_modified(request, headers) or Response(
        as_file(forecast, box), media_type=NETCDF, headers=headers
    )


def _whole_box(forecast: StoredForecast, box: BoxField) -> bytes:
    """Return the file of a box with rates and probabilities."""
    return quantities_file(forecast, box, [name for name in quantities_of(forecast) if name != AMOUNT])


def _amounts(forecast: StoredForecast, box: BoxField) -> bytes:
    """Return the file of a box with amounts."""
    return quantities_file(forecast, box, [AMOUNT])


def _answer(
    request: Request,
    backend: Backend,
    forecast: StoredForecast,
    made: Callable[[], BaseModel],
    *parts: str,
    lifetime_s: int | None = None,
) -> Response:
    """Return JSON with its validators; it is computed only if the client has no current copy."""
    tag = caching.weak_etag(forecast, *parts, status_of(backend, forecast))
    if lifetime_s is None:
        lifetime_s = caching.until_next_run_s(forecast, backend.service)
    headers = caching.headers(forecast, tag, lifetime_s=lifetime_s)
    return caching.not_modified(request, headers) or Response(
        made().model_dump_json(), media_type=JSON, headers=headers
    )
