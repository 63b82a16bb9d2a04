"""OGC Web Map Service 1.3.0 and 1.1.1 on the forecasts, for map clients such as QGIS, OpenLayers and Leaflet."""

import json
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
from fastapi import APIRouter, Request, Response

from core.arrays import BoolField, Float32Field
from core.cf import RATE
from core.errors import InputError, NoDataError
from core.grid import Grid
from core.times import iso
from service.api import caching
from service.api.backend import Backend, BackendDep
from service.api.errors import documented
from service.api.lookup import LATEST, RecentForecasts
from service.api.pictures import picture_answer
from service.api.views import attribution_text, status_of
from service.forecasts.fields import FIELDS
from service.forecasts.nowcast import StoredForecast
from service.ogc.wms_capabilities import INFO_FORMATS, PNG, capabilities
from service.ogc.wms_exceptions import STATUS, ParameterError, exception_report, wants_problem
from service.ogc.wms_query import PARAMETERS, REQUESTS, Parameters
from service.ogc.wms_times import MOST_RUNS, Moment, moment_of, run_of
from service.ogc.wms_versions import VERSIONS
from service.queries.amounts import AMOUNT, intervals_mm, total_mm_HW, totals_mm
from service.queries.maps import View, cells_of, legend_png, map_png
from service.queries.observed import FRAMES
from service.queries.point import point_series
from service.queries.probabilities import probability_field
from service.queries.quantities import QUANTITIES, quantities_of

router = APIRouter(tags=["OGC WMS"])

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
    return _picture_or_value(parameters, backend, request, newest, operation)


def _picture_or_value(
    parameters: Parameters, backend: Backend, request: Request, newest: StoredForecast, operation: str
) -> Response:
    reference_time = parameters.get("dim_reference_time") or parameters.get("reference_time")
    known = quantities_of(run_of(backend.service, newest, reference_time))
    name = "layers" if operation == "GetMap" else "query_layers"
    layer = parameters.layer(known, name)
    moment = moment_of(backend.service, newest, layer, parameters.get("time"), reference_time)
    headers = _headers(backend, moment.run, request, moment.scan.sha256 if moment.scan else "")
    unchanged = caching.not_modified(request, headers)
    if unchanged is not None:
        return unchanged
    shown = _shown(backend, moment, layer)
    return (_map if operation == "GetMap" else _feature_info)(parameters, shown, headers)


def _capabilities(parameters: Parameters, backend: Backend, request: Request, newest: StoredForecast) -> Response:
    service, version = backend.service, parameters.version
    runs = service.list(model=service.settings.model, origin="scans", limit=MOST_RUNS) or [newest]
    attribution = attribution_text(newest, service.settings)
    scans = service.store.scans(product=newest.product, end=newest.reference_time)
    observed = [scan.valid_time for scan in scans]
    document = capabilities(version, f"{request.base_url}wms", newest, runs, attribution, observed)
    return Response(document, media_type=version.media_type, headers=_headers(backend, newest, request))


def _legend(parameters: Parameters, backend: Backend, request: Request) -> Response:
    known = QUANTITIES if parameters.get("layer") in QUANTITIES else quantities_of(_newest(backend, request))
    quantity = known[parameters.layer(known, "layer")]
    return Response(legend_png(quantity.unit, quantity.classes), media_type=PNG)


@dataclass(frozen=True, eq=False)
class ShownField:
    """The field of a map.

    Attributes:
        layer: its name.
        moment: what it is of.
        field_HW: on `grid`; NaN is unknown.
        known_HW: where it rests on an observation; None if that is not known, or if it is an observation.
        grid: of the field.
        credit: of the data.
    """

    layer: str
    moment: Moment
    field_HW: Float32Field
    known_HW: BoolField | None
    grid: Grid
    credit: str


def _shown(backend: Backend, moment: Moment, layer: str) -> ShownField:
    credit = attribution_text(moment.run, backend.settings)
    if moment.scan is not None:
        frame = FRAMES.read(backend.service.store, moment.scan)
        return ShownField(layer, moment, frame.rate_mmh_HW, None, frame.grid, credit)
    run, lead = moment.run, moment.lead
    if layer not in quantities_of(run):  # an earlier run may have had other thresholds
        raise NoDataError(f"layers: the run of {iso(run.reference_time)}, the newest of that time, has no {layer}")
    return ShownField(layer, moment, _field(run, layer, lead), _known(run, layer, lead), run.grid, credit)


def _map(parameters: Parameters, shown: ShownField, headers: dict[str, str]) -> Response:
    quantity = quantities_of(shown.moment.run)[shown.layer]
    parameters.check_picture(quantity)
    picture = map_png(
        shown.field_HW,
        cells_of(parameters.view(), shown.grid),
        background=parameters.background(),
        classes=quantity.classes,
        known_HW=shown.known_HW,
    )
    return picture_answer(picture, shown.credit, headers)


def _feature_info(parameters: Parameters, shown: ShownField, headers: dict[str, str]) -> Response:
    """Return the value of the grid cell at a pixel, as a GeoJSON point or as text."""
    kind = parameters.one_of("info_format", INFO_FORMATS, INFO_FORMATS[0])
    lon, lat = _place(parameters.view(), *parameters.pixel())
    properties = _properties(shown, lon, lat)
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
    lon, lat = view.place(column, row)
    if not (np.isfinite(lon) and np.isfinite(lat)):
        raise InputError(f"i, j: expected a pixel on Earth, got {column}, {row}")
    return lon, lat


def _properties(shown: ShownField, lon: float, lat: float) -> dict[str, Any]:
    moment, run, layer = shown.moment, shown.moment.run, shown.layer
    quantity, cell = quantities_of(run)[layer], shown.grid.cell_of(lat, lon)
    value = float("nan") if cell is None else _value(shown, cell)
    if quantity.threshold_mmh is not None:
        value = round(value, 3)
    is_known = bool(np.isfinite(value))
    is_observed, observed = moment.scan is not None, "ok" if is_known else "no coverage"
    return {
        "layer": layer,
        "kind": "observed" if is_observed else "forecast",
        "value": value if is_known else None,
        "unit": quantity.unit,
        "time": iso(moment.valid_time),
        "reference_time": None if is_observed else iso(run.reference_time),
        "forecast_id": None if is_observed else run.id,
        "status": None if is_observed else run.status,
        "radar_coverage": observed if is_observed else point_series(run, lat, lon).coverage,
        "attribution": shown.credit,
    }


def _newest(backend: Backend, request: Request) -> StoredForecast:
    recent: RecentForecasts = request.app.state.recent
    return recent.held(backend.service, LATEST) or recent.find(backend.service, LATEST)


def _field(run: StoredForecast, layer: str, lead: int) -> Float32Field:
    threshold_mmh = quantities_of(run)[layer].threshold_mmh
    if threshold_mmh is not None:
        return probability_field(run, lead, threshold_mmh)
    if layer == RATE:
        return FIELDS.read(run).rate_mmh_HW(lead)
    return total_mm_HW(run, lead)


def _value(shown: ShownField, cell: tuple[int, int]) -> float:
    """Return the value of one grid cell; NaN is unknown."""
    run, lead = shown.moment.run, shown.moment.lead
    if shown.layer == AMOUNT:
        return float(totals_mm(intervals_mm(FIELDS.read(run), run.lead_minutes, cell))[lead])
    return float(shown.field_HW[cell])


def _known(run: StoredForecast, layer: str, lead: int) -> BoolField | None:
    """Return where the picture rests on an observation; an amount does where all rates that it is summed of do."""
    fields = FIELDS.read(run)
    masks = (fields.known_HW(each) for each in range(0 if layer == AMOUNT else lead, lead + 1))
    found = [known_HW for known_HW in masks if known_HW is not None]
    return np.asarray(np.logical_and.reduce(found), np.bool_) if found else None


def _headers(backend: Backend, run: StoredForecast, request: Request, content: str = "") -> dict[str, str]:
    tag = caching.weak_etag(run, request.url.query, status_of(backend, run), content)
    return caching.headers(run, tag, lifetime_s=caching.until_next_run_s(run, backend.service))
