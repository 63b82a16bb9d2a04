"""The document that a WMS 1.3.0 client reads first (OGC 06-042, annex E.1)."""

from collections.abc import Sequence
from typing import Final
from xml.etree.ElementTree import Element, SubElement, register_namespace, tostring

import numpy as np

from core.frame import iso
from service.api.edr_meta import DESCRIPTION, TITLE, bounds_of
from service.nowcast import Forecast
from service.places.maps import AXES, MERCATOR_M, MOST_PIXELS
from service.places.quantities import quantities_of

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
    service = _put(root, "Service")
    for name, text in (("Name", "WMS"), ("Title", TITLE), ("Abstract", DESCRIPTION)):
        _put(service, name, text)
    _online(service, address)
    _put(service, "Fees", "none")
    _put(service, "AccessConstraints", "none")
    _put(service, "MaxWidth", str(MOST_PIXELS))
    _put(service, "MaxHeight", str(MOST_PIXELS))
    capability = _put(root, "Capability")
    requests = _put(capability, "Request")
    for name, formats in (("GetCapabilities", ("text/xml",)), ("GetMap", (PNG,)), ("GetFeatureInfo", INFO_FORMATS)):
        _request(requests, name, formats, address)
    _put(_put(capability, "Exception"), "Format", "application/problem+json")
    _layers(capability, address, run, runs, attribution)
    document: bytes = tostring(root, encoding="utf-8", xml_declaration=True)
    return document


def _layers(capability: Element, address: str, run: Forecast, runs: Sequence[Forecast], attribution: str) -> None:
    top = _put(capability, "Layer")
    _put(top, "Title", TITLE)
    for crs in AXES:
        _put(top, "CRS", crs)
    _bounds(top, run)
    _put(_put(top, "Attribution"), "Title", attribution)
    for name, quantity in quantities_of(run).items():
        layer = _put(top, "Layer", queryable="1", opaque="0")
        _put(layer, "Name", name)
        unit = "" if quantity.unit == "1" else f" ({quantity.unit})"
        _put(layer, "Title", f"{quantity.label[0].upper()}{quantity.label[1:]}{unit}")
        _put(layer, "Abstract", quantity.description)
        times = [iso(time) for time in run.valid_times]
        _put(layer, "Dimension", ",".join(times), name="time", units="ISO8601", default=times[0])
        known = [iso(one.reference_time) for one in runs]
        _put(layer, "Dimension", ",".join(known), name="reference_time", units="ISO8601", default=known[0])
        style = _put(layer, "Style")
        _put(style, "Name", quantity.style)
        _put(style, "Title", STYLES[quantity.style])
        legend = _put(style, "LegendURL", width="150", height="150")
        _put(legend, "Format", PNG)
        query = f"service=WMS&version=1.3.0&request=GetLegendGraphic&format={PNG}&layer={name}"
        _online(legend, f"{address}?{query}")


def _bounds(layer: Element, run: Forecast) -> None:
    west, south, east, north = bounds_of(run.grid)
    box = _put(layer, "EX_GeographicBoundingBox")
    for name, edge in (("west", west), ("east", east), ("south", south), ("north", north)):
        _put(box, f"{name}Bound{'Longitude' if name in ('west', 'east') else 'Latitude'}", f"{edge:.6f}")
    mercator = [
        *np.radians([west, east]) * MERCATOR_M,
        *np.arcsinh(np.tan(np.radians(np.clip([south, north], -MERCATOR_LAT, MERCATOR_LAT)))) * MERCATOR_M,
    ]
    boxes = {
        "CRS:84": (west, south, east, north),
        "EPSG:4326": (south, west, north, east),
        "EPSG:3857": (mercator[0], mercator[2], mercator[1], mercator[3]),
    }
    for crs, edges in boxes.items():
        named = dict(zip(("minx", "miny", "maxx", "maxy"), (f"{edge:.6f}" for edge in edges), strict=True))
        _put(layer, "BoundingBox", CRS=crs, **named)


def _request(requests: Element, name: str, formats: Sequence[str], address: str) -> None:
    request = _put(requests, name)
    for kind in formats:
        _put(request, "Format", kind)
    _online(_put(_put(_put(request, "DCPType"), "HTTP"), "Get"), f"{address}?")


def _online(parent: Element, href: str) -> None:
    SubElement(parent, f"{{{WMS}}}OnlineResource", {f"{{{XLINK}}}type": "simple", f"{{{XLINK}}}href": href})


def _put(parent: Element, tag: str, text: str | None = None, **attributes: str) -> Element:
    element = SubElement(parent, f"{{{WMS}}}{tag}", attributes)
    element.text = text
    return element
