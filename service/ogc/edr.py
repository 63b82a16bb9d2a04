"""OGC API - Environmental Data Retrieval 1.2: the forecasts as a collection, whose instances are the model runs."""

import json
from collections.abc import Callable, Sequence
from functools import partial
from typing import Annotated, Any, Final

import shapely
from fastapi import APIRouter, Depends, Query, Request, Response
from fastapi import Path as PathParameter

from core.errors import MAX_SHOWN, InputError, NoDataError, TooLargeError, shown
from service.api import caching
from service.api.backend import Backend, BackendDep, ServiceDep
from service.api.csv_tables import MEDIA_TYPE
from service.api.errors import documented
from service.api.geometry import parsed_bbox, parsed_wkt
from service.api.lookup import LATEST, ForecastDep, ForecastId, chosen_forecast
from service.api.negotiate import CSV, NETCDF
from service.api.views import attribution_text, status_of
from service.forecasts.nowcast import StoredForecast
from service.ogc import edr_meta
from service.ogc.coverages import (
    Json,
    centres_coverage,
    collection_of,
    coverage_table,
    grid_coverage,
    place_coverage,
    thinning,
)
from service.ogc.edr_meta import COLLECTION, COVERAGE_JSON
from service.ogc.edr_query import EdrQuery, EdrRoute, QueryDep, chosen_leads, chosen_names
from service.queries.areas import checked_polygon
from service.queries.cells import Block, box_swap_hint, checked_place
from service.queries.quantities import quantities_file
from service.queries.regions import BoxField, box_field, cut, polygon_field

router = APIRouter(tags=["OGC API-EDR"], route_class=EdrRoute)

MOST_CELLS: Final = 10_000
"""Limit for CoverageJSON, per field; NetCDF may hold the whole grid. A larger cube has every n-th row and column."""

MOST_PLACES: Final = 100
OF_COLLECTION: Final = "/collections/{collection_id}"
INSTANCES: Final = OF_COLLECTION + "/instances"
OF_RUN: Final = INSTANCES + "/{forecast_id}"
ANSWERS: Final[dict[int | str, dict[str, Any]]] = {
    **documented(400, 404, 406, 413),
    200: {
        "description": "CoverageJSON, CF-NetCDF, or a table",
        "content": {
            COVERAGE_JSON: {
                "schema": {"type": "object", "required": ["type"], "properties": {"type": {"type": "string"}}}
            },
            NETCDF: {"schema": {"type": "string", "format": "binary"}},
            CSV: {"schema": {"type": "string"}},
        },
    },
    304: caching.NOT_MODIFIED,
}
FIELD: Final[dict[str, Any]] = {"responses": ANSWERS, "response_class": Response}


async def known_collection(
    collection_id: Annotated[str, PathParameter(description="`nowcast` is the only one", examples=[COLLECTION])],
) -> None:
    """Check that the collection exists.

    Raises:
        NoDataError: no such collection.
    """
    if collection_id != COLLECTION:
        raise NoDataError(f"collection: expected {COLLECTION}, got {shown(collection_id)}")


async def run_in_path(forecast_id: ForecastId) -> None:
    """Declare the path parameter that `requested_run` reads, for the OpenAPI document."""


async def newest_run(backend: BackendDep, request: Request) -> StoredForecast:
    """Return the newest run.

    Raises:
        NoDataError: no forecast is stored yet.
    """
    return await chosen_forecast(LATEST, backend, request)


async def requested_run(backend: BackendDep, request: Request) -> StoredForecast:
    """Return the run that the path names; the newest one if the path names none.

    Raises:
        InputError: neither `latest` nor a UUID.
        NoDataError: no such run is stored.
    """
    return await chosen_forecast(request.path_params.get("forecast_id", LATEST), backend, request)


InCollection = Depends(known_collection)
InRun = Depends(run_in_path)
NewestDep = Annotated[StoredForecast, Depends(newest_run)]
RunDep = Annotated[StoredForecast, Depends(requested_run)]
Places = Annotated[
    str,
    Query(
        description="WKT POINT or MULTIPOINT, longitude before latitude",
        max_length=10_000,
        examples=["POINT(13.4 52.52)"],
    ),
]
Outline = Annotated[
    str,
    Query(
        description="WKT POLYGON or MULTIPOLYGON, longitude before latitude",
        max_length=60_000,
        examples=["POLYGON((13.0 52.3, 13.8 52.3, 13.4 52.7, 13.0 52.3))"],
    ),
]
Box = Annotated[str, Query(description="west,south,east,north", max_length=200, examples=["13.0,52.3,13.8,52.7"])]


Columns = Annotated[
    int | None,
    Query(alias="resolution-x", ge=0, description="columns of the answer, about; 0 or omitted: all", examples=[50]),
]
Rows = Annotated[
    int | None,
    Query(alias="resolution-y", ge=0, description="rows of the answer, about; 0 or omitted: all", examples=[50]),
]


@router.get("/conformance", summary="Conformance classes of the OGC standards", responses=documented())
async def read_conformance() -> dict[str, list[str]]:
    """Return the conformance classes that this service implements."""
    return {"conformsTo": list(edr_meta.CONFORMANCE)}


@router.get("/collections", summary="Collections", responses=documented())
async def read_collections(request: Request, backend: BackendDep) -> dict[str, Any]:
    """Return the one collection: the forecasts of the scheduled model. Empty before the first forecast."""
    try:
        newest = await newest_run(backend, request)
    except NoDataError:
        newest = None
    return edr_meta.collections(str(request.base_url), newest)


@router.get(
    OF_COLLECTION,
    summary="The forecasts as a collection",
    responses=documented(400, 404),
    dependencies=[InCollection],
)
def read_collection(request: Request, newest: NewestDep) -> dict[str, Any]:
    """Return extent, quantities and queries; queries on the collection itself use the newest run."""
    return edr_meta.collection(str(request.base_url), newest)


@router.get(INSTANCES, summary="Runs of the model", responses=documented(400, 404), dependencies=[InCollection])
def read_instances(
    request: Request,
    service: ServiceDep,
    limit: Annotated[int, Query(ge=1, le=1000, description="maximum number of runs, newest first")] = 100,
) -> dict[str, Any]:
    """Return the runs of the scheduled model from ingested scans."""
    runs = service.list(model=service.settings.model, origin="scans", limit=limit)
    return edr_meta.instances(str(request.base_url), runs)


@router.get(OF_RUN, summary="One run", responses=documented(400, 404), dependencies=[InCollection])
def read_instance(request: Request, run: ForecastDep) -> dict[str, Any]:
    """Return a run with its times, quantities and queries."""
    return edr_meta.instance(str(request.base_url), run)


@router.get(OF_RUN + "/position", summary="A run at places", dependencies=[InCollection, InRun], **FIELD)
@router.get(OF_COLLECTION + "/position", summary="The newest run at places", dependencies=[InCollection], **FIELD)
def read_position(coords: Places, query: QueryDep, run: RunDep, backend: BackendDep, request: Request) -> Response:
    """Return a time series for each place. A place outside the grid has null values and is not an error."""
    geometry = parsed_wkt(coords)
    if not isinstance(geometry, shapely.Point | shapely.MultiPoint) or geometry.is_empty:
        raise InputError(f"coords: expected a POINT or a MULTIPOINT, got {shown(coords)}")
    places = shapely.get_coordinates(geometry).tolist()
    if len(places) > MOST_PLACES:
        raise TooLargeError(f"coords: expected at most {MOST_PLACES} places, got {len(places)}")
    for lon, lat in places:
        checked_place(lat, lon, ("latitude (second in coords)", "longitude (first in coords)"))
    boxes = [_cell(run, lon, lat) for lon, lat in places]
    leads, names = chosen_leads(run, query.times), chosen_names(run, query.names)
    part = f"position {coords}"
    if query.kind == NETCDF:
        if len(boxes) > 1:
            raise InputError(f"coords: expected one place for NetCDF, got {len(boxes)}")
        return _answer(request, backend, run, part, query, lambda: _netcdf(run, boxes[0], names, leads))
    series = [place_coverage(run, lon, lat, box, names, leads) for (lon, lat), box in zip(places, boxes, strict=True)]
    credit = attribution_text(run, backend.settings)
    document = series[0] if isinstance(geometry, shapely.Point) else collection_of(series)
    return _answer(request, backend, run, part, query, lambda: _encoded(document, query, credit))


@router.get(OF_RUN + "/area", summary="A run in a polygon", dependencies=[InCollection, InRun], **FIELD)
@router.get(OF_COLLECTION + "/area", summary="The newest run in a polygon", dependencies=[InCollection], **FIELD)
def read_area(coords: Outline, query: QueryDep, run: RunDep, backend: BackendDep, request: Request) -> Response:
    """Return the grid cells that the polygon touches."""
    polygon = checked_polygon(parsed_wkt(coords))
    hint = partial(box_swap_hint, run.grid, polygon.bounds)
    return _field(request, backend, run, f"area {coords}", query, lambda: polygon_field(run, polygon), hint)


@router.get(OF_RUN + "/cube", summary="A run in a box", dependencies=[InCollection, InRun], **FIELD)
@router.get(OF_COLLECTION + "/cube", summary="The newest run in a box", dependencies=[InCollection], **FIELD)
def read_cube(
    bbox: Box,
    query: QueryDep,
    run: RunDep,
    backend: BackendDep,
    request: Request,
    resolution_x: Columns = None,
    resolution_y: Rows = None,
) -> Response:
    """Return the smallest rectangle of grid cells that contains the box.

    As CoverageJSON, a rectangle of more than 10,000 cells has every n-th column and row (`nowcast:every_cells`), those
    in the middle of each n: the values are of these cells alone. NetCDF has all cells.
    """
    box = parsed_bbox(bbox)
    part = f"cube {bbox} {resolution_x} {resolution_y}"
    hint, resolution = partial(box_swap_hint, run.grid, box), (resolution_y, resolution_x)
    return _field(request, backend, run, part, query, lambda: box_field(run, box), hint, resolution)


def _cell(run: StoredForecast, lon: float, lat: float) -> BoxField | None:
    cell = run.grid.cell_of(lat, lon)
    return None if cell is None else cut(run, Block(cell[0], cell[0] + 1, cell[1], cell[1] + 1))


def _field(
    request: Request,
    backend: Backend,
    run: StoredForecast,
    part: str,
    query: EdrQuery,
    cells: Callable[[], BoxField | None],
    hint: Callable[[], str],
    resolution: tuple[int | None, int | None] | None = None,
) -> Response:
    """Answer with the cells of a box or polygon; those of a box are thinned to a `resolution` (rows, columns).

    What `hint` returns follows the message that they are outside the grid.
    """
    leads, names = chosen_leads(run, query.times), chosen_names(run, query.names)

    def content() -> bytes:
        box = cells()
        if query.kind == NETCDF:
            return _netcdf(run, box, names, leads)
        if box is None:
            raise NoDataError(f"{part[:MAX_SHOWN]} is outside the grid; see `extent` of the collection{hint()}")
        every = (1, 1) if resolution is None else thinning(box.block.shape, resolution, MOST_CELLS)
        if resolution is None and box.block.cells > MOST_CELLS:
            raise TooLargeError(
                f"expected at most {MOST_CELLS} cells for CoverageJSON, got {box.block.cells}: reduce the area, or "
                "request f=NetCDF"
            )
        as_json = grid_coverage if query.native else centres_coverage
        return _encoded(as_json(run, box, names, leads, every), query, attribution_text(run, backend.settings))

    return _answer(request, backend, run, part, query, content)


def _netcdf(run: StoredForecast, box: BoxField | None, names: Sequence[str], leads: list[int]) -> bytes:
    if box is None:
        raise NoDataError("the requested location is outside the grid; a NetCDF file has at least one cell")
    return quantities_file(run, box, names, leads)


def _encoded(document: Json, query: EdrQuery, credit: str) -> bytes:
    if query.kind == CSV:
        return coverage_table(document, credit).encode()
    return json.dumps({**document, "nowcast:attribution": credit}, allow_nan=False, separators=(",", ":")).encode()


def _answer(
    request: Request, backend: Backend, run: StoredForecast, part: str, query: EdrQuery, content: Callable[[], bytes]
) -> Response:
    tag = caching.weak_etag(run, part, query.text, status_of(backend, run))
    headers = caching.headers(run, tag, lifetime_s=caching.until_next_run_s(run, backend.service))
    return caching.not_modified(request, headers) or Response(
        content(), media_type=MEDIA_TYPE if query.kind == CSV else query.kind, headers=headers
    )
