"""OGC Web Map Service 1.3.0 and 1.1.1 on the forecasts, for QGIS, OpenLayers, Leaflet and their like."""

import json
from typing import Any, Final

import numpy as np
from fastapi import APIRouter, Request, Response

from core.arrays import Float32Field
from core.cf import RATE
from core.errors import InputError, NoDataError
from core.frame import iso, utc
from service.api import caching
from service.api.backend import Backend, BackendDep
from service.api.errors import documented
from service.api.lookup import LATEST, RecentForecasts
from service.api.views import INVENTED, status_of
from service.forecasts.fields import FIELDS
from service.forecasts.nowcast import Forecast
from service.ogc.wms_capabilities import INFO_FORMATS, PNG, capabilities
from service.ogc.wms_capabilities_111 import MEDIA_TYPE as MEDIA_TYPE_111
from service.ogc.wms_capabilities_111 import capabilities_111
from service.ogc.wms_exceptions import (
    MEDIA_TYPES,
    STATUS,
    NoSuchTimeError,
    ParameterError,
    exception_report,
    wants_problem,
)
from service.ogc.wms_query import ELDER, PARAMETERS, REQUESTS, Parameters
from service.queries.amounts import intervals_mm, totals_mm
from service.queries.chances import chance_field
from service.queries.maps import cells_of, legend_png, map_png
from service.queries.point import point_series
from service.queries.quantities import QUANTITIES, quantities_of

router = APIRouter(tags=["OGC WMS"])

MOST_RUNS: Final = 100
BINARY: Final[dict[str, Any]] = {"schema": {"type": "string", "format": "binary"}}
ANSWERS: Final[dict[int | str, dict[str, Any]]] = {
    **documented(404, 406, 413, 422),
    STATUS: {
        "description": "a service exception: what came, what was due, and its code",
        "content": {kind: {"schema": {"type": "string"}} for kind in MEDIA_TYPES.values()},
    },
    200: {
        "description": "capabilities, a picture, or the values of a place",
        "content": {
            PNG: BINARY,
            "text/xml": {"schema": {"type": "string"}},
            MEDIA_TYPE_111: {"schema": {"type": "string"}},
            "text/plain": {"schema": {"type": "string"}},
            "application/json": {"schema": {"type": "object"}},
        },
    },
    304: caching.NOT_MODIFIED,
}


@router.get(
    "/wms",
    summary="Web Map Service 1.3.0 and 1.1.1",
    responses=ANSWERS,
    response_class=Response,
    openapi_extra={"parameters": PARAMETERS},
)
def read_wms(backend: BackendDep, request: Request) -> Response:
    """GetCapabilities, GetMap, GetFeatureInfo and GetLegendGraphic.

    What a map client asked wrongly is told as WMS has it: a service exception in XML, unless `EXCEPTIONS` or `Accept`
    name problem documents. What is not the client's (a limit, a service that starts) is a problem document in any case.
    """
    came = Parameters(request.query_params)
    try:
        return _answer(came, backend, request)
    except (InputError, NoDataError) as err:
        if wants_problem(came.get("exceptions"), request.headers.get("accept", "")):
            raise
        return exception_report(err, came.version)


def _answer(came: Parameters, backend: Backend, request: Request) -> Response:
    what = came.one_of("request", REQUESTS)
    came.one_of("service", ("WMS",), "WMS")
    if what == "GetLegendGraphic":
        return _legend(came, backend, request)
    newest = _newest(backend, request)
    if what == "GetCapabilities":
        return _capabilities(came, backend, request, newest)
    run = _run(backend, newest, came.get("dim_reference_time") or came.get("reference_time"))
    headers = _headers(backend, run, request)
    unchanged = caching.not_modified(request, headers)
    if unchanged is not None:
        return unchanged
    return _map(came, run, headers) if what == "GetMap" else _feature_info(came, run, headers)


def _capabilities(came: Parameters, backend: Backend, request: Request, newest: Forecast) -> Response:
    service = backend.service
    runs = service.list(model=service.settings.model, origin="scans", limit=MOST_RUNS) or [newest]
    invented = service.settings.invented
    attribution = INVENTED if invented else f"Radar product {newest.product}"
    is_elder = came.version == ELDER
    write, kind = (capabilities_111, MEDIA_TYPE_111) if is_elder else (capabilities, "text/xml")
    document = write(str(request.base_url) + "wms", newest, runs, attribution)
    return Response(document, media_type=kind, headers=_headers(backend, newest, request))


def _legend(came: Parameters, backend: Backend, request: Request) -> Response:
    known = QUANTITIES if came.get("layer") in QUANTITIES else quantities_of(_newest(backend, request))
    quantity = known[came.layer(known, "layer")]
    return Response(legend_png(quantity.unit, quantity.classes), media_type=PNG)


def _map(came: Parameters, run: Forecast, headers: dict[str, str]) -> Response:
    known = quantities_of(run)
    layer = came.layer(known)
    came.picture(known[layer])
    field_HW = _field(run, layer, _lead(run, came.get("time")))
    cells_HW = cells_of(came.view(), run.grid)
    picture = map_png(field_HW, cells_HW, background=came.background(), classes=known[layer].classes)
    return Response(picture, media_type=PNG, headers=headers)


def _feature_info(came: Parameters, run: Forecast, headers: dict[str, str]) -> Response:
    """The value of the cell below a pixel, as a GeoJSON point or as text."""
    kind = came.one_of("info_format", INFO_FORMATS, INFO_FORMATS[0])
    known = quantities_of(run)
    layer, view, lead = came.layer(known, "query_layers"), came.view(), _lead(run, came.get("time"))
    column, row = came.pixel()
    if not (0 <= column < view.width and 0 <= row < view.height):
        raise ParameterError("i", f"i {column}, j {row} came; a pixel of {view.width} x {view.height} was due")
    lons, lats = view.lon_lat()
    lon, lat = float(lons[column]), float(lats[row])
    if not (np.isfinite(lon) and np.isfinite(lat)):
        raise InputError(f"the pixel i {column}, j {row} is not on Earth")
    cell = run.grid.cell_of(lat, lon)
    value = float("nan") if cell is None else float(_field(run, layer, lead)[cell])
    if known[layer].threshold_mmh is not None:
        value = round(value, 3)
    said = {
        "layer": layer,
        "value": value if np.isfinite(value) else None,
        "unit": known[layer].unit,
        "time": iso(run.valid_times[lead]),
        "reference_time": iso(run.reference_time),
        "forecast_id": run.id,
        "status": run.status,
        "radar_coverage": point_series(run, lat, lon).coverage,
    }
    if kind == "text/plain":
        text = "".join(f"{name}: {'unknown' if entry is None else entry}\n" for name, entry in said.items())
        return Response(text, media_type=kind, headers=headers)
    point = {"type": "Feature", "geometry": {"type": "Point", "coordinates": [lon, lat]}, "properties": said}
    document = json.dumps({"type": "FeatureCollection", "features": [point]}, allow_nan=False)
    return Response(document, media_type=kind, headers=headers)


def _newest(backend: Backend, request: Request) -> Forecast:
    recent: RecentForecasts = request.app.state.recent
    return recent.held(backend.service, LATEST) or recent.find(backend.service, LATEST)


def _run(backend: Backend, newest: Forecast, reference_time: str) -> Forecast:
    """The run of a reference time.

    Raises:
        InputError: no time.
        NoDataError: no run of that time.
    """
    if not reference_time:
        return newest
    try:
        time = utc(reference_time.replace(" ", "+"))
        model = backend.service.settings.model
        runs = backend.service.list(model=model, origin="scans", start=time, end=time, limit=1)
    except (ValueError, OverflowError) as err:
        raise ParameterError(
            "reference_time", f"reference_time {reference_time[:80]!r} came; an ISO 8601 time was due"
        ) from err
    if not runs:
        raise NoSuchTimeError(f"no run of {reference_time[:80]}; GetCapabilities lists those that there are")
    return runs[0]


def _lead(run: Forecast, time: str) -> int:
    """The lead of a time.

    Raises:
        InputError: no time.
        NoDataError: no lead of that time.
    """
    if time in ("", "current"):
        return 0
    try:
        return run.valid_times.index(utc(time.replace(" ", "+")))
    except OverflowError as err:
        raise ParameterError("time", f"time {time[:80]!r} came; an ISO 8601 time was due") from err
    except ValueError as err:
        due = ", ".join(map(iso, run.valid_times))
        raise NoSuchTimeError(f"time {time[:80]!r} came; one of {due} was due, or another reference_time") from err


def _field(run: Forecast, layer: str, lead: int) -> Float32Field:
    threshold_mmh = quantities_of(run)[layer].threshold_mmh
    if threshold_mmh is not None:
        return chance_field(run, lead, threshold_mmh)
    fields = FIELDS.read(run)
    if layer == RATE:
        return np.asarray(fields.rate_mmh_THW[lead])
    whole = (slice(None), slice(None))
    return np.asarray(totals_mm(intervals_mm(fields, run.lead_minutes, whole))[lead])


def _headers(backend: Backend, run: Forecast, request: Request) -> dict[str, str]:
    tag = caching.weak_etag(run, request.url.query, status_of(backend, run))
    return caching.headers(run, tag, lifetime_s=caching.until_next_run_s(run, backend.settings))
