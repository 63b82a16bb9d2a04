"""GET /tiles: observed and forecast fields as map tiles (XYZ, Web Mercator) for Leaflet, MapLibre, OpenLayers."""

from typing import Annotated, Any, Final

from fastapi import APIRouter, Query, Request, Response
from fastapi import Path as PathParameter

from core.arrays import BoolField, Float32Field
from core.cf import RATE
from core.errors import NoDataError
from core.grid import Grid
from core.times import iso
from ingest.store.live import Scan
from service.api import caching
from service.api.backend import Backend, BackendDep
from service.api.errors import documented
from service.api.lookup import LATEST, RecentForecasts
from service.forecasts.fields import FIELDS
from service.forecasts.records import StoredForecast
from service.ogc.wms_capabilities import PNG
from service.queries.maps import cells_of, tile_png, tile_view
from service.queries.observed import FRAMES
from service.queries.probabilities import probability_field
from service.queries.quantities import quantities_of
from service.schemas.forecasts import Time

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
        description="`rainfall_rate`, or a probability as WMS names it: `probability_of_exceedance_0.5`",
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
    scan = _scan(backend, forecast, time) if time <= forecast.reference_time and layer == RATE else None
    lifetime_s = caching.lifetime_s(run, forecast, backend.settings) if scan is None else OBSERVED_S
    content = iso(time) if scan is None else scan.sha256[:32]
    tag = caching.etag(forecast, layer, content, f"{z}-{x}-{y}-{scale}")
    headers = caching.headers(forecast, tag, lifetime_s=lifetime_s)
    unchanged = caching.not_modified(request, headers)
    if unchanged is not None:
        return unchanged
    field_HW, known_HW, grid = _forecast(forecast, layer, time) if scan is None else _observed(backend, scan)
    classes = quantities_of(forecast)[layer].classes
    return Response(tile_png(field_HW, cells_of(view, grid), classes, known_HW), media_type=PNG, headers=headers)


def _run(backend: Backend, recent: RecentForecasts, run: str) -> StoredForecast:
    return recent.held(backend.service, run) or recent.find(backend.service, run)


def _scan(backend: Backend, forecast: StoredForecast, time: Time) -> Scan:
    """Return the scan of a time.

    Raises:
        NoDataError: there is none.
    """
    scans = backend.service.store.scans(product=forecast.product, start=time, end=time)
    if not scans:
        raise NoDataError(f"no scan of {forecast.product} at {iso(time)} is stored")
    return scans[-1]


def _observed(backend: Backend, scan: Scan) -> tuple[Float32Field, BoolField | None, Grid]:
    frame = FRAMES.read(backend.service.store, scan)
    return frame.rate_mmh_HW, None, frame.grid


def _forecast(forecast: StoredForecast, layer: str, time: Time) -> tuple[Float32Field, BoolField | None, Grid]:
    """Return the field of a lead.

    Raises:
        NoDataError: no such layer, or no lead of that time.
    """
    quantity = quantities_of(forecast).get(layer)
    if quantity is None or (layer != RATE and quantity.threshold_mmh is None):
        known = ", ".join([RATE, *(name for name, one in quantities_of(forecast).items() if one.threshold_mmh)])
        raise NoDataError(f"layer: expected one of {known}, got {layer!r}")
    if time not in forecast.valid_times:
        first, last = iso(forecast.valid_times[0]), iso(forecast.valid_times[-1])
        raise NoDataError(f"time: expected a lead of {first} to {last}, got {iso(time)}")
    lead, fields = forecast.valid_times.index(time), FIELDS.read(forecast)
    if quantity.threshold_mmh is None:
        field_HW = fields.rate_mmh_HW(lead)
    else:
        field_HW = probability_field(forecast, lead, quantity.threshold_mmh)
    return field_HW, fields.known_HW(lead), forecast.grid
