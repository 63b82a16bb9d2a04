"""The capabilities document of WMS (OGC 06-042, annex E.1; OGC 01-068r3, annex A.1)."""

from collections.abc import Sequence
from datetime import datetime
from typing import Final
from xml.etree.ElementTree import Element, SubElement, register_namespace, tostring

import numpy as np

from core.cf import RATE
from core.grid import Grid
from core.times import iso
from service.forecasts.nowcast import StoredForecast
from service.ogc.edr_meta import DESCRIPTION, TITLE
from service.ogc.wms_exceptions import PROBLEM
from service.ogc.wms_times import extents
from service.ogc.wms_versions import WMS_130, WMS_NAMESPACE, WmsVersion
from service.queries.longitudes import bounds_of
from service.queries.maps import MERCATOR_M, MOST_PIXELS, PROJECTED, to_lon_lat
from service.queries.quantities import Quantity, quantities_of

XLINK: Final = "http://www.w3.org/1999/xlink"
MERCATOR_LAT: Final = 85.06
INFO_FORMATS: Final = ("application/json", "text/plain")
PNG: Final = "image/png"
STYLES: Final = {
    "rain": "Radar colours, transparent where dry, grey without radar data, hatched where rain can flow in unobserved",
    "chance": "Darker for higher probabilities, transparent below 5 %, grey without radar data, hatched with inflow",
}
register_namespace("", WMS_NAMESPACE)
register_namespace("xlink", XLINK)


def capabilities(
    version: WmsVersion,
    address: str,
    run: StoredForecast,
    runs: Sequence[StoredForecast],
    attribution: str,
    observed: Sequence[datetime] = (),
) -> bytes:
    """Return the document with all layers, the times that are stored and the reference times of the runs.

    Args:
        version: of the standard.
        address: of the service, without a query.
        run: the newest run.
        runs: all runs that `DIM_REFERENCE_TIME` may name, newest first.
        attribution: source of the radar data.
        observed: times of the stored scans, which the layer of the rate shows too.
    """
    root = Element(version.root, version=version.number)
    _service(root, version, address)
    capability = _put(root, "Capability")
    _requests(capability, version, address)
    problems = _put(capability, "Exception")
    for name in (version.exception_format, PROBLEM):
        _put(problems, "Format", name)
    top = _put(capability, "Layer")
    _put(top, "Title", TITLE)
    for system in version.axes:
        _put(top, version.system, system)
    _bounds(top, version, run)
    _put(_put(top, "Attribution"), "Title", attribution)
    for name, quantity in quantities_of(run).items():
        layer = _put(top, "Layer", queryable="1", opaque="0")
        _describe(layer, name, quantity)
        _times(layer, version, runs, observed if name == RATE else (), iso(run.valid_times[0]))
        _style(layer, name, quantity, f"{address}?service=WMS&version={version.number}")
    document: bytes = tostring(root, encoding="utf-8", xml_declaration=not version.doctype)
    return version.doctype.encode() + document


def _service(root: Element, version: WmsVersion, address: str) -> None:
    service = _put(root, "Service")
    for name, text in (("Name", version.service_name), ("Title", TITLE), ("Abstract", DESCRIPTION)):
        _put(service, name, text)
    _online(service, address)
    _put(service, "Fees", "none")
    _put(service, "AccessConstraints", "none")
    if version is WMS_130:
        _put(service, "MaxWidth", str(MOST_PIXELS))
        _put(service, "MaxHeight", str(MOST_PIXELS))


def _requests(capability: Element, version: WmsVersion, address: str) -> None:
    requests = _put(capability, "Request")
    formats = {"GetCapabilities": (version.media_type,), "GetMap": (PNG,), "GetFeatureInfo": INFO_FORMATS}
    for name, kinds in formats.items():
        request = _put(requests, name)
        for kind in kinds:
            _put(request, "Format", kind)
        _online(_put(_put(_put(request, "DCPType"), "HTTP"), "Get"), f"{address}?")


def _bounds(layer: Element, version: WmsVersion, run: StoredForecast) -> None:
    west, south, east, north = (f"{edge:.6f}" for edge in _west_to_east(run.grid))
    if version is WMS_130:
        box = _put(layer, "EX_GeographicBoundingBox")
        _put(box, "westBoundLongitude", west)
        _put(box, "eastBoundLongitude", east)
        _put(box, "southBoundLatitude", south)
        _put(box, "northBoundLatitude", north)
    else:
        _put(layer, "LatLonBoundingBox", minx=west, miny=south, maxx=east, maxy=north)
    for system, axes in version.axes.items():
        edges = _edges(run, system, axes)
        if edges is not None:
            _put(layer, "BoundingBox", **{version.system: system}, **edges)


def _west_to_east(grid: Grid) -> tuple[float, float, float, float]:
    """Return the grid's bounds; WMS has no box over the antimeridian, so such a grid has all longitudes."""
    west, south, east, north = bounds_of(grid)
    return (west, south, east, north) if west < east else (-180.0, south, 180.0, north)


def _edges(run: StoredForecast, system: str, axes: tuple[str, str]) -> dict[str, str] | None:
    """Return the edges of a run's grid in a reference system, as attributes; None where it has no coordinates there."""
    west, south, east, north = _west_to_east(run.grid)
    if system == "EPSG:3857":
        west, east = np.radians([west, east]) * MERCATOR_M
        lats = np.radians(np.clip([south, north], -MERCATOR_LAT, MERCATOR_LAT))
        south, north = np.arcsinh(np.tan(lats)) * MERCATOR_M
    if system in PROJECTED:
        west, south, east, north = to_lon_lat(system).transform_bounds(west, south, east, north, direction="INVERSE")
        if not np.isfinite([west, south, east, north]).all():
            return None
    edges = (south, west, north, east) if axes == ("y", "x") else (west, south, east, north)
    return dict(zip(("minx", "miny", "maxx", "maxy"), (f"{edge:.6f}" for edge in edges), strict=True))


def _describe(layer: Element, name: str, quantity: Quantity) -> None:
    unit = "" if quantity.unit == "1" else f" ({quantity.unit})"
    _put(layer, "Name", name)
    _put(layer, "Title", f"{quantity.label[0].upper()}{quantity.label[1:]}{unit}")
    _put(layer, "Abstract", quantity.description)


def _times(
    layer: Element, version: WmsVersion, runs: Sequence[StoredForecast], observed: Sequence[datetime], default: str
) -> None:
    """Add the dimensions of a layer; 1.1.1 lists their values in separate elements, after all dimensions."""
    reference_times = [iso(one.reference_time) for one in runs]
    times = {
        "time": (extents([*observed, *(time for one in runs for time in one.valid_times)]), default),
        "reference_time": (",".join(reference_times), reference_times[0]),
    }
    for name, (text, default_value) in times.items():
        if version is WMS_130:
            _put(layer, "Dimension", text, name=name, units="ISO8601", default=default_value)
        else:
            _put(layer, "Dimension", name=name, units="ISO8601")
    if version is not WMS_130:
        for name, (text, default_value) in times.items():
            _put(layer, "Extent", text, name=name, default=default_value)


def _style(layer: Element, name: str, quantity: Quantity, address: str) -> None:
    """Add the only style of a layer, with the address of its legend."""
    style = _put(layer, "Style")
    _put(style, "Name", quantity.style)
    _put(style, "Title", STYLES[quantity.style])
    legend = _put(style, "LegendURL", width="150", height="150")
    _put(legend, "Format", PNG)
    _online(legend, f"{address}&request=GetLegendGraphic&format={PNG}&layer={name}")


def _online(parent: Element, href: str) -> None:
    SubElement(parent, f"{_space(parent)}OnlineResource", {f"{{{XLINK}}}type": "simple", f"{{{XLINK}}}href": href})


def _put(parent: Element, tag: str, text: str | None = None, **attributes: str) -> Element:
    """Add a child in its parent's name space."""
    element = SubElement(parent, f"{_space(parent)}{tag}", attributes)
    element.text = text
    return element


def _space(element: Element) -> str:
    space, brace, _ = element.tag.rpartition("}")
    return f"{space}{brace}"
