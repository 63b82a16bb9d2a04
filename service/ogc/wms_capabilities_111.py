"""The document that a WMS 1.1.1 client reads first (OGC 01-068r3, annex A.1): no name space, always x before y."""

from collections.abc import Sequence
from typing import Final
from xml.etree.ElementTree import Element, tostring

from core.frame import iso
from service.forecasts.nowcast import Forecast
from service.ogc import wms_exceptions
from service.ogc.edr_meta import DESCRIPTION, TITLE, bounds_of
from service.ogc.wms_capabilities import (
    INFO_FORMATS,
    PNG,
    add_request,
    add_style,
    edges_of,
    online,
    put,
    title_of,
)
from service.queries.quantities import Quantity, quantities_of

MEDIA_TYPE: Final = "application/vnd.ogc.wms_xml"
SYSTEMS: Final = ("EPSG:3857", "EPSG:4326")
DOCTYPE: Final = (
    b'<?xml version="1.0" encoding="UTF-8"?>\n<!DOCTYPE WMT_MS_Capabilities SYSTEM '
    b'"http://schemas.opengis.net/wms/1.1.1/WMS_MS_Capabilities.dtd">\n'
)


def capabilities_111(address: str, run: Forecast, runs: Sequence[Forecast], attribution: str) -> bytes:
    """As `wms_capabilities.capabilities`, in the elder version."""
    root = Element("WMT_MS_Capabilities", version="1.1.1")
    service = put(root, "Service")
    for name, text in (("Name", "OGC:WMS"), ("Title", TITLE), ("Abstract", DESCRIPTION)):
        put(service, name, text)
    online(service, address)
    put(service, "Fees", "none")
    put(service, "AccessConstraints", "none")
    capability = put(root, "Capability")
    requests = put(capability, "Request")
    for name, formats in (("GetCapabilities", (MEDIA_TYPE,)), ("GetMap", (PNG,)), ("GetFeatureInfo", INFO_FORMATS)):
        add_request(requests, name, formats, address)
    problems = put(capability, "Exception")
    put(problems, "Format", wms_exceptions.MEDIA_TYPES["1.1.1"])
    put(problems, "Format", wms_exceptions.PROBLEM)
    top = put(capability, "Layer")
    put(top, "Title", TITLE)
    for system in SYSTEMS:
        put(top, "SRS", system)
    _bounds(top, run)
    put(put(top, "Attribution"), "Title", attribution)
    for name, quantity in quantities_of(run).items():
        _layer(top, name, quantity, address, run, runs)
    document: bytes = tostring(root, encoding="utf-8")
    return DOCTYPE + document


def _layer(top: Element, name: str, quantity: Quantity, address: str, run: Forecast, runs: Sequence[Forecast]) -> None:
    layer = put(top, "Layer", queryable="1", opaque="0")
    put(layer, "Name", name)
    put(layer, "Title", title_of(quantity))
    put(layer, "Abstract", quantity.description)
    times = {
        "time": [iso(time) for time in run.valid_times],
        "reference_time": [iso(one.reference_time) for one in runs],
    }
    for axis in times:
        put(layer, "Dimension", name=axis, units="ISO8601")
    for axis, known in times.items():
        put(layer, "Extent", ",".join(known), name=axis, default=known[0])
    add_style(layer, name, quantity, address, "1.1.1")


def _bounds(layer: Element, run: Forecast) -> None:
    edges = (f"{edge:.6f}" for edge in bounds_of(run.grid))
    put(layer, "LatLonBoundingBox", **dict(zip(("minx", "miny", "maxx", "maxy"), edges, strict=True)))
    for system in SYSTEMS:
        put(layer, "BoundingBox", SRS=system, **edges_of(run, system, is_swapped=False))
