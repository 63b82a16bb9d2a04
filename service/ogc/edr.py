"""OGC API - Environmental Data Retrieval 1.1 on the forecasts: a collection, whose instances are the model's runs."""

import json
from collections.abc import Callable, Sequence
from typing import Annotated, Any, Final

import shapely
from fastapi import APIRouter, Depends, Query, Request, Response
from fastapi import Path as PathParameter

from core.errors import InputError, NoDataError, TooLargeError
from service.api import caching
from service.api.backend import Backend, BackendDep, ServiceDep
from service.api.errors import documented
from service.api.geometry import parsed_bbox, parsed_wkt
from service.api.lookup import LATEST, ForecastDep, chosen_forecast
from service.api.negotiate import NETCDF
from service.api.views import status_of
from service.forecasts.netcdf import dataset_bytes
from service.forecasts.nowcast import Forecast
from service.ogc import edr_meta
from service.ogc.coverages import Json, centres_coverage, collection_of, grid_coverage, place_coverage
from service.ogc.edr_meta import COLLECTION, COVERAGE_JSON
from service.ogc.edr_query import Asked, AskedDep, chosen_leads, chosen_names
from service.queries.areas import checked_polygon
from service.queries.cells import Block
from service.queries.quantities import quantities_dataset
from service.queries.regions import BoxField, box_field, cut, polygon_field

router = APIRouter(tags=["OGC API-EDR"])

MOST_CELLS: Final = 10_000
"""Of one field as CoverageJSON; NetCDF has all of a grid."""

MOST_PLACES: Final = 100
INSTANCES: Final = "/collections/{collection_id}/instances"
OF_RUN: Final = INSTANCES + "/{forecast_id}"
ANSWERS: Final[dict[int | str, dict[str, Any]]] = {
    **documented(404, 406, 413, 422),
    200: {
        "description": "CoverageJSON, or CF-NetCDF",
        "content": {
            COVERAGE_JSON: {
                "schema": {"type": "object", "required": ["type"], "properties": {"type": {"type": "string"}}}
            },
            NETCDF: {"schema": {"type": "string", "format": "binary"}},
        },
    },
    304: caching.NOT_MODIFIED,
}


async def known_collection(
    collection_id: Annotated[str, PathParameter(description="`nowcast` is the only one", examples=[COLLECTION])],
) -> None:
    """Whether it is there.

    Raises:
        NoDataError: no such collection.
    """
    if collection_id != COLLECTION:
        raise NoDataError(f"collection {collection_id[:80]!r} came; {COLLECTION} was due")


async def newest_run(backend: BackendDep, request: Request) -> Forecast:
    """The newest run.

    Raises:
        NoDataError: there is none yet.
    """
    return await chosen_forecast(LATEST, backend, request)


InCollection = Depends(known_collection)
NewestDep = Annotated[Forecast, Depends(newest_run)]
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


@router.get("/conformance", summary="What is kept of the OGC's standards", responses=documented())
async def read_conformance() -> dict[str, list[str]]:
    """The conformance classes."""
    return {"conformsTo": list(edr_meta.CONFORMANCE)}


@router.get("/collections", summary="Collections", responses=documented())
async def read_collections(request: Request, backend: BackendDep) -> dict[str, Any]:
    """One: the forecasts of the scheduled model; none before the first forecast."""
    try:
        newest = await newest_run(backend, request)
    except NoDataError:
        newest = None
    return edr_meta.collections(str(request.base_url), newest)


@router.get(
    "/collections/{collection_id}",
    summary="The forecasts as a collection",
    responses=documented(404, 422),
    dependencies=[InCollection],
)
def read_collection(request: Request, newest: NewestDep) -> dict[str, Any]:
    """Extent, quantities and queries; its own queries are those of the newest run."""
    return edr_meta.collection(str(request.base_url), newest)


@router.get(INSTANCES, summary="The runs", responses=documented(404, 422), dependencies=[InCollection])
def read_instances(
    request: Request,
    service: ServiceDep,
    limit: Annotated[int, Query(ge=1, le=1000, description="at most so many, the newest first")] = 100,
) -> dict[str, Any]:
    """The scheduled model's runs from scans."""
    runs = service.list(model=service.settings.model, origin="scans", limit=limit)
    return edr_meta.instances(str(request.base_url), runs)


@router.get(OF_RUN, summary="A run", responses=documented(404, 422), dependencies=[InCollection])
def read_instance(request: Request, run: ForecastDep) -> dict[str, Any]:
    """A run: its times, quantities and queries."""
    return edr_meta.instance(str(request.base_url), run)


@router.get(
    "/collections/{collection_id}/position",
    summary="The newest run at places",
    responses=ANSWERS,
    response_class=Response,
    dependencies=[InCollection],
)
def newest_position(coords: Places, asked: AskedDep, run: NewestDep, backend: BackendDep, request: Request) -> Response:
    """A series for each place; off the grid it is null, and not an error."""
    return _position(coords, asked, run, backend, request)


@router.get(
    OF_RUN + "/position",
    summary="A run at places",
    responses=ANSWERS,
    response_class=Response,
    dependencies=[InCollection],
)
def run_position(coords: Places, asked: AskedDep, run: ForecastDep, backend: BackendDep, request: Request) -> Response:
    """A series for each place; off the grid it is null, and not an error."""
    return _position(coords, asked, run, backend, request)


@router.get(
    "/collections/{collection_id}/area",
    summary="The newest run in a polygon",
    responses=ANSWERS,
    response_class=Response,
    dependencies=[InCollection],
)
def newest_area(coords: Outline, asked: AskedDep, run: NewestDep, backend: BackendDep, request: Request) -> Response:
    """The cells that the polygon touches."""
    return _area(coords, asked, run, backend, request)


@router.get(
    OF_RUN + "/area",
    summary="A run in a polygon",
    responses=ANSWERS,
    response_class=Response,
    dependencies=[InCollection],
)
def run_area(coords: Outline, asked: AskedDep, run: ForecastDep, backend: BackendDep, request: Request) -> Response:
    """The cells that the polygon touches."""
    return _area(coords, asked, run, backend, request)


@router.get(
    "/collections/{collection_id}/cube",
    summary="The newest run in a box",
    responses=ANSWERS,
    response_class=Response,
    dependencies=[InCollection],
)
def newest_cube(bbox: Box, asked: AskedDep, run: NewestDep, backend: BackendDep, request: Request) -> Response:
    """The smallest rectangle of cells that holds the box."""
    return _cube(bbox, asked, run, backend, request)


@router.get(
    OF_RUN + "/cube",
    summary="A run in a box",
    responses=ANSWERS,
    response_class=Response,
    dependencies=[InCollection],
)
def run_cube(bbox: Box, asked: AskedDep, run: ForecastDep, backend: BackendDep, request: Request) -> Response:
    """The smallest rectangle of cells that holds the box."""
    return _cube(bbox, asked, run, backend, request)


def _position(coords: str, asked: Asked, run: Forecast, backend: Backend, request: Request) -> Response:
    geometry = parsed_wkt(coords)
    if not isinstance(geometry, shapely.Point | shapely.MultiPoint) or geometry.is_empty:
        raise InputError(f"coords {coords[:80]!r} came; a POINT or a MULTIPOINT was due")
    places = shapely.get_coordinates(geometry).tolist()
    if len(places) > MOST_PLACES:
        raise TooLargeError(f"{len(places)} places came; at most {MOST_PLACES} were due")
    boxes = [_cell(run, lon, lat) for lon, lat in places]
    leads, names = chosen_leads(run, asked.times), chosen_names(run, asked.names)
    if asked.kind == NETCDF:
        if len(boxes) > 1:
            raise InputError(f"{len(boxes)} places came; one was due for NetCDF")
        return _answer(request, backend, run, f"position {coords}", asked, lambda: _netcdf(run, boxes[0], names, leads))
    found = [place_coverage(run, lon, lat, box, names, leads) for (lon, lat), box in zip(places, boxes, strict=True)]
    document = found[0] if isinstance(geometry, shapely.Point) else collection_of(found)
    return _answer(request, backend, run, f"position {coords}", asked, lambda: _json(document))


def _cell(run: Forecast, lon: float, lat: float) -> BoxField | None:
    cell = run.grid.cell_of(lat, lon)
    return None if cell is None else cut(run, Block(cell[0], cell[0] + 1, cell[1], cell[1] + 1))


def _area(coords: str, asked: Asked, run: Forecast, backend: Backend, request: Request) -> Response:
    polygon = checked_polygon(parsed_wkt(coords))
    return _field(request, backend, run, f"area {coords}", asked, lambda: polygon_field(run, polygon))


def _cube(bbox: str, asked: Asked, run: Forecast, backend: Backend, request: Request) -> Response:
    box = parsed_bbox(bbox)
    return _field(request, backend, run, f"cube {bbox}", asked, lambda: box_field(run, box))


def _field(
    request: Request, backend: Backend, run: Forecast, part: str, asked: Asked, found: Callable[[], BoxField | None]
) -> Response:
    leads, names = chosen_leads(run, asked.times), chosen_names(run, asked.names)

    def made() -> bytes:
        box = found()
        if asked.kind == NETCDF:
            return _netcdf(run, box, names, leads)
        if box is None:
            raise NoDataError(f"{part[:80]} lies off the grid; `extent` of the collection says where it is")
        if box.block.cells > MOST_CELLS:
            raise TooLargeError(
                f"{box.block.cells} cells; at most {MOST_CELLS} were due as CoverageJSON: ask for less, or f=NetCDF"
            )
        as_json = grid_coverage if asked.native else centres_coverage
        return _json(as_json(run, box, names, leads))

    return _answer(request, backend, run, part, asked, made)


def _netcdf(run: Forecast, box: BoxField | None, names: Sequence[str], leads: list[int]) -> bytes:
    if box is None:
        raise NoDataError("what was asked for lies off the grid; a file has at least a cell")
    return dataset_bytes(quantities_dataset(run, box, names).isel(time=leads))


def _json(document: Json) -> bytes:
    return json.dumps(document, allow_nan=False, separators=(",", ":")).encode()


def _answer(
    request: Request, backend: Backend, run: Forecast, part: str, asked: Asked, made: Callable[[], bytes]
) -> Response:
    tag = caching.weak_etag(run, part, asked.text, status_of(backend, run))
    headers = caching.headers(run, tag, lifetime_s=caching.until_next_run_s(run, backend.settings))
    return caching.not_modified(request, headers) or Response(made(), media_type=asked.kind, headers=headers)
