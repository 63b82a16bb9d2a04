"""GET /tiles: observed and forecast fields as map tiles (XYZ, Web Mercator) for Leaflet, MapLibre, OpenLayers."""

from typing import Annotated, Any, Final

from fastapi import APIRouter, Query, Request, Response
from fastapi import Path as PathParameter

from core.cf import RATE
from service.api import caching
from service.api.backend import Backend, BackendDep
from service.api.errors import documented
from service.api.lookup import LATEST, RecentForecasts
from service.api.pictures import picture_answer
from service.api.views import attribution_text
from service.forecasts.records import StoredForecast
from service.ogc.tile_layers import layer_source
from service.ogc.tile_list import layers_out
from service.ogc.wms_capabilities import PNG
from service.queries.maps import cells_of, tile_png, tile_view
from service.schemas.forecasts import Time
from service.schemas.tiles import TileLayersOut

router = APIRouter(tags=["tiles"])

OBSERVED_S: Final = 300
"""Lifetime of a tile of an observed scan: a late file with more radars may replace it."""

PICTURE: Final[dict[str, Any]] = {
    "description": "a tile",
    "content": {PNG: {"schema": {"type": "string", "format": "binary"}}},
}

Layer = Annotated[
    str,
    PathParameter(
        description="a layer of `/tiles`: `rainfall_rate`; a probability, such as `probability_of_exceedance_0.5`; "
        "`member-1`, an ensemble member; `sum60`, the hour from the time on; `past60`, the hour up to it",
        examples=[RATE],
    ),
]
ValidTime = Annotated[
    Time,
    PathParameter(
        description="valid time, ISO 8601; up to the reference time it is observed", examples=["2024-06-01T12:00:00Z"]
    ),
]


@router.get(
    "/tiles/{layer}/{time}/{z}/{x}/{y}.png",
    summary="A map tile of a field, observed or forecast",
    response_class=Response,
    responses={200: PICTURE, 304: caching.NOT_MODIFIED, **documented(404, 422)},
)
def read_tile(
    backend: BackendDep,
    request: Request,
    layer: Layer,
    time: ValidTime,
    z: Annotated[int, PathParameter(description="zoom level", examples=[5])],
    x: Annotated[int, PathParameter(description="column, from the west", examples=[16])],
    y: Annotated[int, PathParameter(description="row, from the north", examples=[10])],
    run: Annotated[str, Query(description="`latest`, or the id of a forecast", examples=[LATEST])] = LATEST,
    scale: Annotated[int, Query(description="1 for 256 x 256 pixels, 2 for 512 x 512", ge=1, le=2, examples=[2])] = 1,
) -> Response:
    """Return a picture of 256 x 256 or 512 x 512 pixels: transparent where dry, hatched without radar data.

    Lines that rise to the right mark values that rest on no observation, since rain can flow in from outside.
    """
    view, recent = tile_view(z, x, y, scale), request.app.state.recent
    forecast = _run(backend, recent, run)
    source = layer_source(backend.service.store, forecast, layer, time)
    lifetime_s = OBSERVED_S if source.is_observed else caching.lifetime_s(run, forecast, backend.service)
    tag = caching.etag(forecast, layer, source.content, f"{z}-{x}-{y}-{scale}")
    headers = caching.headers(forecast, tag, lifetime_s=lifetime_s)
    unchanged = caching.not_modified(request, headers)
    if unchanged is not None:
        return unchanged
    drawn = source.read()
    png = tile_png(drawn.field_HW, cells_of(view, drawn.grid), drawn.classes, drawn.known_HW)
    return picture_answer(png, attribution_text(forecast, backend.settings), headers)


@router.get("/tiles", summary="The layers of the tiles", responses={304: caching.NOT_MODIFIED, **documented(404, 422)})
def read_layers(
    backend: BackendDep,
    request: Request,
    response: Response,
    run: Annotated[str, Query(description="`latest`, or the id of a forecast", examples=[LATEST])] = LATEST,
) -> TileLayersOut:
    """Return each layer with its times, its colours, and the template of its tiles.

    A layer without times is not there (yet): ensemble members follow their forecast within a minute.
    """
    forecast = _run(backend, request.app.state.recent, run)
    credit = attribution_text(forecast, backend.settings)
    answer = layers_out(backend.service.store, forecast).model_copy(update={"attribution": credit})
    tag = caching.weak_etag(forecast, answer.model_dump_json())
    lifetime_s = caching.with_members_s(forecast, backend.service)
    response.headers.update(caching.headers(forecast, tag, lifetime_s=lifetime_s))
    return answer


def _run(backend: Backend, recent: RecentForecasts, run: str) -> StoredForecast:
    return recent.held(backend.service, run) or recent.find(backend.service, run)
