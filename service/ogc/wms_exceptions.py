"""What a WMS client gets that asked for something wrong: a service exception of its version, as XML.

OGC 06-042 (1.3.0), section 6.11 and annex E.2; OGC 01-068r3 (1.1.1), annex A.3.
"""

from typing import Final
from xml.sax.saxutils import escape, quoteattr

from fastapi import Response

from core.errors import InputError, NoDataError, NotAcceptableError

STATUS: Final = 400
"""Of every exception: WMS has its own codes for what HTTP tells apart, and clients read the XML of this status."""

MEDIA_TYPES: Final = {"1.3.0": "text/xml", "1.1.1": "application/vnd.ogc.se_xml"}
HEADS: Final = {
    "1.3.0": '<ServiceExceptionReport version="1.3.0" xmlns="http://www.opengis.net/ogc">',
    "1.1.1": (
        "<!DOCTYPE ServiceExceptionReport SYSTEM "
        '"http://schemas.opengis.net/wms/1.1.1/exception_1_1_1.dtd">\n<ServiceExceptionReport version="1.1.1">'
    ),
}
CODES: Final = {
    "request": "OperationNotSupported",
    "layers": "LayerNotDefined",
    "layer": "LayerNotDefined",
    "query_layers": "LayerNotDefined",
    "styles": "StyleNotDefined",
    "crs": "InvalidCRS",
    "srs": "InvalidSRS",
    "i": "InvalidPoint",
    "j": "InvalidPoint",
    "x": "InvalidPoint",
    "y": "InvalidPoint",
    "time": "InvalidDimensionValue",
    "reference_time": "InvalidDimensionValue",
    "info_format": "InvalidFormat",
}
PROBLEM: Final = "application/problem+json"


class ParameterError(InputError):
    """A parameter of a map request that cannot be used.

    Attributes:
        name: of the parameter, in lower case.
    """

    def __init__(self, name: str, text: str) -> None:
        super().__init__(text)
        self.name = name


class NoSuchTimeError(NoDataError):
    """A time of which nothing is stored."""


def wants_problem(exceptions: str, accept: str) -> bool:
    """Whether a client says that it reads problem documents, as this interface has them elsewhere."""
    return "json" in exceptions.lower() or PROBLEM in accept.lower()


def exception_report(err: InputError | NoDataError, version: str) -> Response:
    """The exception that stands for an error, in the words of a version."""
    code, name = _code(err), err.name if isinstance(err, ParameterError) else None
    said = "".join(f" {key}={quoteattr(text)}" for key, text in (("code", code), ("locator", name)) if text)
    body = f"<ServiceException{said}>{escape(_printable(str(err)))}</ServiceException>"
    document = f'<?xml version="1.0" encoding="UTF-8"?>\n{HEADS[version]}{body}</ServiceExceptionReport>\n'
    return Response(document, STATUS, media_type=MEDIA_TYPES[version], headers={"Cache-Control": "no-store"})


def _code(err: InputError | NoDataError) -> str | None:
    if isinstance(err, NotAcceptableError):
        return "InvalidFormat"
    if isinstance(err, NoSuchTimeError):
        return "InvalidDimensionValue"
    return CODES.get(err.name) if isinstance(err, ParameterError) else None


def _printable(text: str) -> str:
    """The text without what XML cannot hold."""
    return "".join(letter if letter.isprintable() else "?" for letter in text)
