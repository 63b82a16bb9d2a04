"""The supported versions of the Web Map Service, and what differs between them."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

from service.queries.maps import AXES, PROJECTED

WMS_NAMESPACE: Final = "http://www.opengis.net/wms"
X_FIRST: Final = ("x", "y")


@dataclass(frozen=True)
class WmsVersion:
    """One version of the standard.

    Attributes:
        number: as in the parameter `version`.
        service_name: name of the service in the capabilities.
        root: root element of the capabilities.
        doctype: lines before the root element; empty for the XML declaration alone.
        media_type: of the capabilities.
        system: element and parameter of a reference system.
        axes: reference systems with the order of their axes in a box.
        pixel: parameters of GetFeatureInfo for column and row.
        exception_format: name of the XML exceptions in the capabilities.
        exception_type: media type of an exception.
        exception_head: start of an exception, up to the root element.
    """

    number: str
    service_name: str
    root: str
    doctype: str
    media_type: str
    system: str
    axes: Mapping[str, tuple[str, str]]
    pixel: tuple[str, str]
    exception_format: str
    exception_type: str
    exception_head: str


WMS_130: Final = WmsVersion(
    number="1.3.0",
    service_name="WMS",
    root=f"{{{WMS_NAMESPACE}}}WMS_Capabilities",
    doctype="",
    media_type="text/xml",
    system="CRS",
    axes=AXES,
    pixel=("i", "j"),
    exception_format="XML",
    exception_type="text/xml",
    exception_head='<ServiceExceptionReport version="1.3.0" xmlns="http://www.opengis.net/ogc">',
)
"""OGC 06-042."""

WMS_111: Final = WmsVersion(
    number="1.1.1",
    service_name="OGC:WMS",
    root="WMT_MS_Capabilities",
    doctype='<?xml version="1.0" encoding="UTF-8"?>\n<!DOCTYPE WMT_MS_Capabilities SYSTEM '
    '"http://schemas.opengis.net/wms/1.1.1/WMS_MS_Capabilities.dtd">\n',
    media_type="application/vnd.ogc.wms_xml",
    system="SRS",
    axes=dict.fromkeys(("EPSG:3857", "EPSG:4326", *PROJECTED), X_FIRST),
    pixel=("x", "y"),
    exception_format="application/vnd.ogc.se_xml",
    exception_type="application/vnd.ogc.se_xml",
    exception_head="<!DOCTYPE ServiceExceptionReport SYSTEM "
    '"http://schemas.opengis.net/wms/1.1.1/exception_1_1_1.dtd">\n<ServiceExceptionReport version="1.1.1">',
)
"""OGC 01-068r3: no name space, and x always before y."""

VERSIONS: Final = (WMS_130, WMS_111)
