"""Errors of map requests as the service exceptions that WMS clients read.

OGC 06-042 (1.3.0), section 6.11 and annex E.2; OGC 01-068r3 (1.1.1), annex A.3.
"""

from typing import Final
from xml.sax.saxutils import escape, quoteattr

from fastapi import Response

from core.errors import InputError, NoDataError, NotAcceptableError
from service.ogc.wms_versions import WmsVersion

STATUS: Final = 400
"""HTTP status of every exception: WMS clients distinguish errors by the code in the XML, not by the status."""

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
    """An invalid parameter of a map request.

    Attributes:
        name: of the parameter, in lower case.
    """

    def __init__(self, name: str, text: str) -> None:
        super().__init__(text)
        self.name = name


class NoSuchTimeError(NoDataError):
    """A time for which no forecast is stored."""


def wants_problem(exceptions: str, accept: str) -> bool:
    """Return whether the client asks for problem documents, by `EXCEPTIONS` or `Accept`."""
    return "json" in exceptions.lower() or PROBLEM in accept.lower()


def exception_report(err: InputError | NoDataError, version: WmsVersion) -> Response:
    """Return an error as a service exception."""
    code, name = _code(err), err.name if isinstance(err, ParameterError) else None
    attributes = "".join(f" {key}={quoteattr(text)}" for key, text in (("code", code), ("locator", name)) if text)
    body = f"<ServiceException{attributes}>{escape(_printable(str(err)))}</ServiceException>"
    head = f'<?xml version="1.0" encoding="UTF-8"?>\n{version.exception_head}'
    document = f"{head}{body}</ServiceExceptionReport>\n"
    return Response(document, STATUS, media_type=version.exception_type, headers={"Cache-Control": "no-store"})


def _code(err: InputError | NoDataError) -> str | None:
    if isinstance(err, NotAcceptableError):
        return "InvalidFormat"
    if isinstance(err, NoSuchTimeError):
        return "InvalidDimensionValue"
    return CODES.get(err.name) if isinstance(err, ParameterError) else None


def _printable(text: str) -> str:
    """Return the text with `?` for characters that XML cannot hold."""
    return "".join(letter if letter.isprintable() else "?" for letter in text)
