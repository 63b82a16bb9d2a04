"""RainViewer's API v2: /public/weather-maps.json and its tiles, with past and forecast frames.

By https://www.rainviewer.com/api/weather-maps-api.html: a map client of it works by another host. Colours are ours.
"""

from datetime import UTC, datetime
from typing import Annotated, Any, Final

from fastapi import APIRouter, Request, Response
from fastapi import Path as PathParameter

from core.cf import RATE
from core.errors import InputError, shown
from service.api import caching
from service.api.backend import BackendDep
from service.api.errors import documented
from service.api.pictures import picture_answer
from service.api.proxies import public_prefix
from service.api.views import attribution_text
from service.foreign.newest import NewestDep
from service.ogc.tile_layers import layer_source
from service.ogc.tiles import OBSERVED_S, PICTURE
from service.queries.maps import cells_of, tile_png, tile_view
from service.queries.observed import PERIOD

router = APIRouter(tags=["interfaces of others"])

AHEAD: Final = "nowcast_"
SCALES: Final = {256: 1, 512: 2}
FRAME: Final = PathParameter(
    description="of `weather-maps.json`: Unix time, after `nowcast_` a forecast's", examples=["1717243200"]
)


@router.get("/public/weather-maps.json", summary="Frames as RainViewer's API", responses=documented(404))
def read_rainviewer_maps(forecast: NewestDep, backend: BackendDep, request: Request) -> dict[str, Any]:
    """Return the scans of the two hours before the newest forecast and its leads, each with the path of its tiles."""
    end = forecast.reference_time  # a newer scan has no tile before its forecast is made
    scans = backend.service.store.scans(product=forecast.product, start=end - PERIOD, end=end)
    past = [_frame(scan.valid_time, "") for scan in scans]
    return {
        "version": "2.0",
        "generated": int(forecast.issued_at.timestamp()),
        "host": f"{request.url.scheme}://{request.url.netloc}{public_prefix()}",
        "radar": {"past": past, "nowcast": [_frame(time, AHEAD) for time in forecast.valid_times]},
        "satellite": {"infrared": []},
        "attribution": attribution_text(forecast, backend.settings),
    }


@router.get(
    "/v2/radar/{frame}/{size}/{z}/{x}/{y}/{color}/{options}.png",
    summary="A tile as RainViewer's API",
    response_class=Response,
    responses={200: PICTURE, 304: caching.NOT_MODIFIED, **documented(404, 422)},
)
def read_rainviewer_tile(
    forecast: NewestDep,
    backend: BackendDep,
    request: Request,
    frame: Annotated[str, FRAME],
    size: Annotated[int, PathParameter(description="256 or 512 pixels", examples=[256])],
    z: Annotated[int, PathParameter(description="zoom level", examples=[6])],
    x: Annotated[int, PathParameter(description="column, from the west", examples=[34])],
    y: Annotated[int, PathParameter(description="row, from the north", examples=[21])],
    color: Annotated[int, PathParameter(description="colour scheme; ignored", examples=[2])],
    options: Annotated[str, PathParameter(description="smooth_snow; ignored", examples=["1_1"])],
) -> Response:
    """Return a tile of the rain rate; colour scheme and options are ignored, since our colours are those of the map."""
    del color, options
    if size not in SCALES:
        raise InputError(f"size: expected 256 or 512, got {size}")
    view = tile_view(z, x, y, SCALES[size])
    source = layer_source(backend.service.store, forecast, RATE, _time(frame))
    lifetime_s = OBSERVED_S if source.is_observed else caching.lifetime_s("latest", forecast, backend.service)
    headers = caching.headers(
        forecast, caching.etag(forecast, source.content, f"{z}-{x}-{y}-{size}"), lifetime_s=lifetime_s
    )
    unchanged = caching.not_modified(request, headers)
    if unchanged is not None:
        return unchanged
    drawn = source.read()
    png = tile_png(drawn.field_HW, cells_of(view, drawn.grid), drawn.classes, drawn.known_HW)
    return picture_answer(png, attribution_text(forecast, backend.settings), headers)


def _frame(time: datetime, mark: str) -> dict[str, Any]:
    seconds = int(time.timestamp())
    return {"time": seconds, "path": f"/v2/radar/{mark}{seconds}"}


def _time(frame: str) -> datetime:
    """Return the valid time of a frame's name.

    Raises:
        InputError: it is none.
    """
    seconds = frame.removeprefix(AHEAD)
    if not (seconds.isascii() and seconds.isdigit() and len(seconds) <= 11):
        raise InputError(f"frame: expected a path of weather-maps.json, got {shown(frame)}")
    return datetime.fromtimestamp(int(seconds), UTC)
