"""OGC Web Map Service 1.3.0 and 1.1.1 on the forecasts, for map clients such as QGIS, OpenLayers and Leaflet."""

import json
from datetime import timedelta
from typing import Any, Final

import numpy as np
from fastapi import APIRouter, Request, Response

from core.arrays import BoolField, Float32Field
from core.cf import RATE
from core.errors import MAX_SHOWN, InputError, NoDataError, shown
from core.times import iso, utc, with_plus
from service.api import caching
from service.api.backend import Backend, BackendDep
from service.api.errors import documented
from service.api.lookup import LATEST, RecentForecasts
from service.api.views import attribution_text, status_of
from service.forecasts.fields import FIELDS
from service.forecasts.nowcast import StoredForecast
from service.ogc.wms_capabilities import INFO_FORMATS, PNG, capabilities
from service.ogc.wms_exceptions import STATUS, NoSuchTimeError, ParameterError, exception_report, wants_problem
from service.ogc.wms_query import PARAMETERS, REQUESTS, Parameters
from service.ogc.wms_versions import VERSIONS
from service.queries.amounts import AMOUNT, intervals_mm, total_mm_HW, totals_mm
from service.queries.maps import View, cells_of, legend_png, map_png
from service.queries.point import point_series
from service.queries.probabilities import probability_field
from service.queries.quantities import QUANTITIES, quantities_of

router = APIRouter(tags=["OGC WMS"])

MOST_RUNS: Final = 100
TEXT: Final[dict[str, Any]] = {"schema": {"type": "string"}}
BINARY: Final[dict[str, Any]] = {"schema": {"type": "string", "format": "binary"}}
ANSWERS: Final[dict[int | str, dict[str, Any]]] = {
    **documented(404, 406, 413, 422),
    STATUS: {
        "description": "a service exception: its code, what was expected and what was found",
        "content": {version.exception_type: TEXT for version in VERSIONS},
    },
    200: {
        "description": "capabilities, a picture, or the value at a place",
        "content": {
            PNG: BINARY,
            **{version.media_type: TEXT for version in VERSIONS},
            "text/plain": TEXT,
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
    """Answer GetCapabilities, GetMap, GetFeatureInfo and GetLegendGraphic.

    An invalid request is answered by a service exception in XML, as WMS defines it, unless `EXCEPTIONS` or `Accept`
    ask for problem documents. Errors that are not the client's (rate limit, service starting) are always problem
    documents.
    """
    parameters = Parameters(request.query_params)
    try:
        return _answer(parameters, backend, request)
    except (InputError, NoDataError) as err:
        if wants_problem(parameters.get("exceptions"), request.headers.get("accept", "")):
            raise
        return exception_report(err, parameters.version)


def _answer(parameters: Parameters, backend: Backend, request: Request) -> Response:
    operation = parameters.one_of("request", REQUESTS)
    parameters.one_of("service", ("WMS",), "WMS")
    if operation == "GetLegendGraphic":
        return _legend(parameters, backend, request)
    newest = _newest(backend, request)
    if operation == "GetCapabilities":
        return _capabilities(parameters, backend, request, newest)
    run = _run(backend, newest, parameters.get("dim_reference_time") or parameters.get("reference_time"))
    headers = _headers(backend, run, request)
    unchanged = caching.not_modified(request, headers)
    if unchanged is not None:
        return unchanged
    return _map(parameters, run, headers) if operation == "GetMap" else _feature_info(parameters, run, headers)


def _capabilities(parameters: Parameters, backend: Backend, request: Request, newest: StoredForecast) -> Response:
    service, version = backend.service, parameters.version
    runs = service.list(model=service.settings.model, origin="scans", limit=MOST_RUNS) or [newest]
    attribution = attribution_text(newest, service.settings)
    document = capabilities(version, f"{request.base_url}wms", newest, runs, attribution)
    return Response(document, media_type=version.media_type, headers=_headers(backend, newest, request))


def _legend(parameters: Parameters, backend: Backend, request: Request) -> Response:
    known = QUANTITIES if parameters.get("layer") in QUANTITIES else quantities_of(_newest(backend, request))
    quantity = known[parameters.layer(known, "layer")]
    return Response(legend_png(quantity.unit, quantity.classes), media_type=PNG)


def _map(parameters: Parameters, run: StoredForecast, headers: dict[str, str]) -> Response:
    known = quantities_of(run)
    layer = parameters.layer(known)
    parameters.check_picture(known[layer])
    lead = _lead(run, parameters.get("time"))
    picture = map_png(
        _field(run, layer, lead),
        cells_of(parameters.view(), run.grid),
        background=parameters.background(),
        classes=known[layer].classes,
        known_HW=_known(run, layer, lead),
    )
    return Response(picture, media_type=PNG, headers=headers)


def _feature_info(parameters: Parameters, run: StoredForecast, headers: dict[str, str]) -> Response:
    """Return the value of the grid cell at a pixel, as a GeoJSON point or as text."""
    kind = parameters.one_of("info_format", INFO_FORMATS, INFO_FORMATS[0])
    layer = parameters.layer(quantities_of(run), "query_layers")
    view, lead = parameters.view(), _lead(run, parameters.get("time"))
    lon, lat = _place(view, *parameters.pixel())
    properties = _properties(run, layer, lead, lon, lat)
    if kind == "text/plain":
        text = "".join(f"{name}: {'unknown' if entry is None else entry}\n" for name, entry in properties.items())
        return Response(text, media_type=kind, headers=headers)
    point = {"type": "Feature", "geometry": {"type": "Point", "coordinates": [lon, lat]}, "properties": properties}
    document = json.dumps({"type": "FeatureCollection", "features": [point]}, allow_nan=False)
    return Response(document, media_type=kind, headers=headers)


def _place(view: View, column: int, row: int) -> tuple[float, float]:
    """Return longitude and latitude of a pixel's centre.

    Raises:
        InputError: the pixel is outside the map, or not on Earth.
    """
    if not (0 <= column < view.width and 0 <= row < view.height):
        raise ParameterError("i", f"i, j: expected a pixel of {view.width} x {view.height}, got {column}, {row}")
    lons, lats = view.lon_lat()
    lon, lat = float(lons[column]), float(lats[row])
    if not (np.isfinite(lon) and np.isfinite(lat)):
        raise InputError(f"i, j: expected a pixel on Earth, got {column}, {row}")
    return lon, lat


def _properties(run: StoredForecast, layer: str, lead: int, lon: float, lat: float) -> dict[str, Any]:
    quantity, cell = quantities_of(run)[layer], run.grid.cell_of(lat, lon)
    value = float("nan") if cell is None else _value(run, layer, lead, cell)
    if quantity.threshold_mmh is not None:
        value = round(value, 3)
    return {
        "layer": layer,
        "value": value if np.isfinite(value) else None,
        "unit": quantity.unit,
        "time": iso(run.valid_times[lead]),
        "reference_time": iso(run.reference_time),
        "forecast_id": run.id,
        "status": run.status,
        "radar_coverage": point_series(run, lat, lon).coverage,
    }


def _newest(backend: Backend, request: Request) -> StoredForecast:
    recent: RecentForecasts = request.app.state.recent
    return recent.held(backend.service, LATEST) or recent.find(backend.service, LATEST)


def _run(backend: Backend, newest: StoredForecast, reference_time: str) -> StoredForecast:
    """Return the run with a reference time; the newest one without a time.

    Raises:
        InputError: not a time.
        NoDataError: no run with that time is stored.
    """
    if not reference_time:
        return newest
    try:
        time = utc(with_plus(reference_time))
        model = backend.service.settings.model
        runs = backend.service.list(model=model, origin="scans", start=time, end=time, limit=1)
    except (ValueError, OverflowError) as err:
        message = f"reference_time: expected an ISO 8601 time, got {shown(reference_time)}"
        raise ParameterError("reference_time", message) from err
    if not runs:
        raise NoSuchTimeError(
            f"reference_time: no run of {reference_time[:MAX_SHOWN]}; GetCapabilities lists the stored runs"
        )
    return runs[0]


def _lead(run: StoredForecast, time: str) -> int:
    """Return the index of the lead with a valid time, or the first within START/END; the first one without a time.

    Raises:
        InputError: not a time.
        NoDataError: no lead has that time.
    """
    if time in ("", "current"):
        return 0
    try:
        return _lead_at(run, with_plus(time))
    except OverflowError as err:
        raise ParameterError("time", f"time: expected an ISO 8601 time, got {shown(time)}") from err
    except ValueError as err:
        leads = ", ".join(map(iso, run.valid_times))
        raise NoSuchTimeError(f"time: expected one of {leads} or another reference_time, got {shown(time)}") from err


def _lead_at(run: StoredForecast, text: str) -> int:
    """Return the index of a lead; of an interval the first lead in it, else the nearest within half a step.

    Raises:
        ValueError: not a time or an interval, or no such lead.
        OverflowError: a time outside the calendar.
    """
    if "/" not in text:
        return run.valid_times.index(utc(text))
    start, end = (utc(part) for part in text.split("/")[:2])
    if start > end:
        raise ValueError("the interval ends before it starts")
    distances = [max(start - time, time - end, timedelta()) for time in run.valid_times]
    nearest = distances.index(min(distances))
    if distances[nearest] > timedelta(minutes=run.lead_minutes[0]) / 2:
        raise ValueError("no lead is near the interval")
    return nearest


def _field(run: StoredForecast, layer: str, lead: int) -> Float32Field:
    threshold_mmh = quantities_of(run)[layer].threshold_mmh
    if threshold_mmh is not None:
        return probability_field(run, lead, threshold_mmh)
    if layer == RATE:
        return FIELDS.read(run).rate_mmh_HW(lead)
    return total_mm_HW(run, lead)


def _value(run: StoredForecast, layer: str, lead: int, cell: tuple[int, int]) -> float:
    """Return the value of one grid cell; NaN is unknown."""
    if layer == AMOUNT:
        return float(totals_mm(intervals_mm(FIELDS.read(run), run.lead_minutes, cell))[lead])
    return float(_field(run, layer, lead)[cell])


def _known(run: StoredForecast, layer: str, lead: int) -> BoolField | None:
    """Return where the picture rests on an observation; an amount does where all rates that it is summed of do."""
    fields = FIELDS.read(run)
    masks = (fields.known_HW(each) for each in range(0 if layer == AMOUNT else lead, lead + 1))
    found = [known_HW for known_HW in masks if known_HW is not None]
    return np.asarray(np.logical_and.reduce(found), np.bool_) if found else None


def _headers(backend: Backend, run: StoredForecast, request: Request) -> dict[str, str]:
    tag = caching.weak_etag(run, request.url.query, status_of(backend, run))
    return caching.headers(run, tag, lifetime_s=caching.until_next_run_s(run, backend.service))
