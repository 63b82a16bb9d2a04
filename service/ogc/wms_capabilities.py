"""The document that a WMS 1.3.0 client reads first (OGC 06-042, annex E.1)."""

from collections.abc import Sequence
from typing import Final
from xml.etree.ElementTree import Element, SubElement, register_namespace, tostring

import numpy as np

from core.frame import iso
from service.forecasts.nowcast import Forecast
from service.ogc import wms_exceptions
from service.ogc.edr_meta import DESCRIPTION, TITLE, bounds_of
from service.queries.maps import AXES, MERCATOR_M, MOST_PIXELS
from service.queries.quantities import Quantity, quantities_of

WMS: Final = "http://www.opengis.net/wms"
XLINK: Final = "http://www.w3.org/1999/xlink"
MERCATOR_LAT: Final = 85.06
INFO_FORMATS: Final = ("application/json", "text/plain")
PNG: Final = "image/png"
STYLES: Final = {
    "rain": "Radar colours, transparent where dry, grey without radar data",
    "chance": "The darker the more probable, transparent below 5 %, grey without radar data",
}
register_namespace("", WMS)
register_namespace("xlink", XLINK)


def capabilities(address: str, run: Forecast, runs: Sequence[Forecast], attribution: str) -> bytes:
    """The layers with their times, those of the newest run, and the times of the runs that there are.

    Args:
        address: of the service, without a query.
        run: the newest one.
        runs: all that can be asked for by `DIM_REFERENCE_TIME`, the newest first.
        attribution: whose data they are.
    """
    root = Element(f"{{{WMS}}}WMS_Capabilities", version="1.3.0")
    service = put(root, "Service")
    for name, text in (("Name", "WMS"), ("Title", TITLE), ("Abstract", DESCRIPTION)):
        put(service, name, text)
    online(service, address)
    put(service, "Fees", "none")
    put(service, "AccessConstraints", "none")
    put(service, "MaxWidth", str(MOST_PIXELS))
    put(service, "MaxHeight", str(MOST_PIXELS))
    capability = put(root, "Capability")
    requests = put(capability, "Request")
    for name, formats in (("GetCapabilities", ("text/xml",)), ("GetMap", (PNG,)), ("GetFeatureInfo", INFO_FORMATS)):
        add_request(requests, name, formats, address)
    problems = put(capability, "Exception")
    put(problems, "Format", "XML")
    put(problems, "Format", wms_exceptions.PROBLEM)
    _layers(capability, address, run, runs, attribution)
    document: bytes = tostring(root, encoding="utf-8", xml_declaration=True)
    return document


def _layers(capability: Element, address: str, run: Forecast, runs: Sequence[Forecast], attribution: str) -> None:
    top = put(capability, "Layer")
    put(top, "Title", TITLE)
    for crs in AXES:
        put(top, "CRS", crs)
    _bounds(top, run)
    put(put(top, "Attribution"), "Title", attribution)
    for name, quantity in quantities_of(run).items():
        layer = put(top, "Layer", queryable="1", opaque="0")
        put(layer, "Name", name)
        put(layer, "Title", title_of(quantity))
        put(layer, "Abstract", quantity.description)
        times = [iso(time) for time in run.valid_times]
        put(layer, "Dimension", ",".join(times), name="time", units="ISO8601", default=times[0])
        known = [iso(one.reference_time) for one in runs]
        put(layer, "Dimension", ",".join(known), name="reference_time", units="ISO8601", default=known[0])
        add_style(layer, name, quantity, address, "1.3.0")


def _bounds(layer: Element, run: Forecast) -> None:
    west, south, east, north = bounds_of(run.grid)
    box = put(layer, "EX_GeographicBoundingBox")
    for name, edge in (("west", west), ("east", east), ("south", south), ("north", north)):
        put(box, f"{name}Bound{'Longitude' if name in ('west', 'east') else 'Latitude'}", f"{edge:.6f}")
    for crs, axes in AXES.items():
        put(layer, "BoundingBox", CRS=crs, **edges_of(run, crs, is_swapped=axes == ("y", "x")))


def edges_of(run: Forecast, system: str, *, is_swapped: bool) -> dict[str, str]:
    """The edges of a run's grid in a reference system, as attributes of an element; swapped has latitude first."""
    west, south, east, north = bounds_of(run.grid)
    if system == "EPSG:3857":
        west, east = np.radians([west, east]) * MERCATOR_M
        lats = np.radians(np.clip([south, north], -MERCATOR_LAT, MERCATOR_LAT))
        south, north = np.arcsinh(np.tan(lats)) * MERCATOR_M
    edges = (south, west, north, east) if is_swapped else (west, south, east, north)
    return dict(zip(("minx", "miny", "maxx", "maxy"), (f"{edge:.6f}" for edge in edges), strict=True))


def title_of(quantity: Quantity) -> str:
    """Of its layer, with its unit."""
    unit = "" if quantity.unit == "1" else f" ({quantity.unit})"
    return f"{quantity.label[0].upper()}{quantity.label[1:]}{unit}"


def add_style(layer: Element, name: str, quantity: Quantity, address: str, version: str) -> None:
    """The one style of a layer, with its legend."""
    style = put(layer, "Style")
    put(style, "Name", quantity.style)
    put(style, "Title", STYLES[quantity.style])
    legend = put(style, "LegendURL", width="150", height="150")
    put(legend, "Format", PNG)
    online(legend, f"{address}?service=WMS&version={version}&request=GetLegendGraphic&format={PNG}&layer={name}")


def add_request(requests: Element, name: str, formats: Sequence[str], address: str) -> None:
    """One operation and where it is asked for."""
    request = put(requests, name)
    for kind in formats:
        put(request, "Format", kind)
    online(put(put(put(request, "DCPType"), "HTTP"), "Get"), f"{address}?")


def online(parent: Element, href: str) -> None:
    """An address."""
    SubElement(parent, f"{_space(parent)}OnlineResource", {f"{{{XLINK}}}type": "simple", f"{{{XLINK}}}href": href})


def put(parent: Element, tag: str, text: str | None = None, **attributes: str) -> Element:
    """A child in its parent's name space."""
    element = SubElement(parent, f"{_space(parent)}{tag}", attributes)
    element.text = text
    return element


def _space(element: Element) -> str:
    space, brace, _ = element.tag.rpartition("}")
    return f"{space}{brace}"
