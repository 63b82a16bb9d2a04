"""The parameters of a WMS request: names in any case, a box in the axis order of its reference system."""

from collections.abc import Mapping
from typing import Any, Final

from core.errors import MAX_SHOWN, NotAcceptableError, shown
from service.ogc.wms_capabilities import INFO_FORMATS, PNG
from service.ogc.wms_exceptions import PROBLEM, ParameterError
from service.ogc.wms_versions import VERSIONS, WMS_111, WMS_130, WmsVersion
from service.queries.maps import AXES, View
from service.queries.quantities import QUANTITIES, Quantity

NEWEST: Final = WMS_130.number
OLDER: Final = WMS_111.number
REQUESTS: Final = ("GetCapabilities", "GetMap", "GetFeatureInfo", "GetLegendGraphic")
EXAMPLE: Final = {
    "service": "WMS",
    "version": NEWEST,
    "request": "GetMap",
    "layers": "rainfall_rate",
    "styles": "",
    "crs": "EPSG:3857",
    "bbox": "600000,6000000,1700000,7300000",
    "width": "256",
    "height": "256",
    "format": PNG,
}
DESCRIPTIONS: Final = {
    "service": "WMS",
    "version": f"{NEWEST} or {OLDER}; for another number GetCapabilities uses the nearest lower version, else {OLDER}",
    "request": ", ".join(REQUESTS),
    "layers": f"one of {', '.join(QUANTITIES)}, probability_of_exceedance_0.5, ...; all are listed by GetCapabilities",
    "styles": "the style of the layer, or empty",
    "crs": f"{', '.join(AXES)} ({NEWEST} only)",
    "srs": f"{', '.join(WMS_111.axes)} ({OLDER} only)",
    "bbox": f"edges in the axis order of the reference system: latitude first for EPSG:4326; x first in {OLDER}",
    "width": "width in pixels",
    "height": "height in pixels",
    "format": PNG,
    "transparent": "TRUE (default) or FALSE",
    "bgcolor": "0xRRGGBB, the background where `transparent` is FALSE",
    "time": "valid time of a scan (layer rainfall_rate) or a lead, or START/END, which shows the first one within it; "
    "the first lead if omitted",
    "dim_reference_time": "reference time of a run; the newest run that has the time if omitted",
    "query_layers": "layer for GetFeatureInfo",
    "info_format": ", ".join(INFO_FORMATS),
    "i": f"column for GetFeatureInfo, from the west (x in {OLDER})",
    "j": f"row for GetFeatureInfo, from the north (y in {OLDER})",
    "x": f"as i, in {OLDER}",
    "y": f"as j, in {OLDER}",
    "exceptions": f"errors are service exceptions in XML, or problem documents with {PROBLEM}",
    "layer": "layer for GetLegendGraphic",
}
PARAMETERS: Final[list[dict[str, Any]]] = [
    {
        "name": name,
        "in": "query",
        "required": name in ("request",),
        "description": f"{text} (the name may be in any case)",
        "schema": {"type": "string"},
        **({"example": EXAMPLE[name]} if name in EXAMPLE else {}),
    }
    for name, text in DESCRIPTIONS.items()
]


class Parameters:
    """The parameters of one request, by lower-case name."""

    def __init__(self, query: Mapping[str, str]) -> None:
        self._values = {name.lower(): value for name, value in query.items()}

    def get(self, name: str, default: str = "") -> str:
        """Return a value, or the default if it is missing or empty."""
        return self._values.get(name) or default

    @property
    def version(self) -> WmsVersion:
        """Return the version of the response: the requested one or the nearest lower one.

        Without a version, `srs` instead of `crs` means the older one.
        """
        requested = self.get("version") or self.get("wmtver")
        if not requested:
            return WMS_111 if self.get("srs") and not self.get("crs") else WMS_130
        return WMS_130 if _parts(requested) >= _parts(NEWEST) else WMS_111

    def pixel(self) -> tuple[int, int]:
        """Return column and row of GetFeatureInfo, whose names depend on the version.

        Raises:
            InputError: missing, or not whole numbers.
        """
        column, row = self.version.pixel
        return self.number(column), self.number(row)

    def one_of(self, name: str, known: tuple[str, ...], default: str | None = None) -> str:
        """Return one of the known values, which may be requested in any case.

        Raises:
            InputError: another value, or none where there is no default.
        """
        value = self.get(name, default or "")
        for one in known:
            if value.lower() == one.lower():
                return one
        raise ParameterError(name, f"{name}: expected {' or '.join(known)}, got {shown(value)}")

    def number(self, name: str) -> int:
        """Return a whole number.

        Raises:
            InputError: missing, or not a whole number.
        """
        try:
            return int(self.get(name))
        except ValueError as err:
            raise ParameterError(name, f"{name}: expected a whole number, got {shown(self.get(name))}") from err

    def layer(self, known: Mapping[str, Quantity], name: str = "layers") -> str:
        """Return the name of the requested layer.

        Raises:
            InputError: no such layer, or several.
        """
        return self.one_of(name, tuple(known))

    def view(self) -> View:
        """Return the area and the size of the map.

        Raises:
            InputError: no such reference system, box or size.
            TooLargeError: too many pixels.
        """
        self.one_of("version", tuple(version.number for version in VERSIONS), self.version.number)
        version = self.version
        crs = self.one_of(version.system.lower(), tuple(version.axes))
        text = self.get("bbox")
        try:
            first, second, third, fourth = (float(part) for part in text.split(","))
        except ValueError as err:
            message = f"bbox: expected four numbers separated by commas, got {shown(text)}"
            raise ParameterError("bbox", message) from err
        if version.axes[crs] == ("y", "x"):
            first, second, third, fourth = second, first, fourth, third
        return View(crs, first, second, third, fourth, self.number("width"), self.number("height"))

    def check_picture(self, quantity: Quantity) -> None:
        """Check style and format.

        Raises:
            InputError: the layer has no such style.
            NotAcceptableError: unknown format.
        """
        if self.get("styles") not in ("", "default"):
            self.one_of("styles", (quantity.style,))
        wanted = self.get("format", PNG)
        if wanted.split(";")[0].strip().lower() != PNG:
            raise NotAcceptableError(f"format: expected {PNG}, got {shown(wanted)}")

    def background(self) -> tuple[int, int, int] | None:
        """Return red, green and blue of the background; None for a transparent map.

        Raises:
            InputError: not a colour.
        """
        if self.one_of("transparent", ("true", "false"), "true") == "true":
            return None
        text = self.get("bgcolor", "0xFFFFFF").lower()
        try:
            colour = bytes.fromhex(text.removeprefix("0x"))
            red, green, blue = colour
        except ValueError as err:
            raise ParameterError("bgcolor", f"bgcolor: expected 0xRRGGBB, got {shown(text)}") from err
        return red, green, blue


def _parts(version: str) -> tuple[int, ...]:
    """Return the numbers of a version; those of the newest one for anything that is not a version."""
    parts = version[:MAX_SHOWN].split(".")
    return tuple(int(part) for part in parts) if all(part.isdecimal() for part in parts) else _parts(NEWEST)
