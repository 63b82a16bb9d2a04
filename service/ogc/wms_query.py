"""The parameters of a WMS request: names in any case, a box in the order of its reference system's axes."""

from collections.abc import Mapping
from typing import Any, Final

from core.errors import NotAcceptableError
from service.ogc.wms_capabilities import INFO_FORMATS, PNG
from service.ogc.wms_capabilities_111 import SYSTEMS
from service.ogc.wms_exceptions import PROBLEM, ParameterError
from service.queries.maps import AXES, View
from service.queries.quantities import QUANTITIES, Quantity

NEWEST: Final = "1.3.0"
ELDER: Final = "1.1.1"
REQUESTS: Final = ("GetCapabilities", "GetMap", "GetFeatureInfo", "GetLegendGraphic")
MOST_SHOWN: Final = 80
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
    "version": f"{NEWEST} or {ELDER}; GetCapabilities answers another one with the nearest of them below it, if any",
    "request": ", ".join(REQUESTS),
    "layers": f"one of {', '.join(QUANTITIES)}, probability_of_exceedance_0.5, ...: GetCapabilities has all",
    "styles": "the layer's own, or empty",
    "crs": f"{', '.join(AXES)}, of {NEWEST}",
    "srs": f"EPSG:3857, EPSG:4326, of {ELDER}",
    "bbox": f"edges in the order of the system's axes: EPSG:4326 has latitude first; in {ELDER} always x first",
    "width": "pixels",
    "height": "pixels",
    "format": PNG,
    "transparent": "TRUE (the default) or FALSE",
    "bgcolor": "0xRRGGBB behind the map where `transparent` is FALSE",
    "time": "a lead's time; none is the first",
    "dim_reference_time": "a run's reference time; none is the newest",
    "query_layers": "of GetFeatureInfo",
    "info_format": ", ".join(INFO_FORMATS),
    "i": f"column of GetFeatureInfo from the west (x in {ELDER})",
    "j": f"row of GetFeatureInfo from the north (y in {ELDER})",
    "x": f"as i, of {ELDER}",
    "y": f"as j, of {ELDER}",
    "exceptions": f"errors are service exceptions in XML; with {PROBLEM} they are problem documents",
    "layer": "of GetLegendGraphic",
}
PARAMETERS: Final[list[dict[str, Any]]] = [
    {
        "name": name,
        "in": "query",
        "required": name in ("request",),
        "description": f"{text} (names in any case)",
        "schema": {"type": "string"},
        **({"example": EXAMPLE[name]} if name in EXAMPLE else {}),
    }
    for name, text in DESCRIPTIONS.items()
]


class Parameters:
    """What came, by lower-case name."""

    def __init__(self, came: Mapping[str, str]) -> None:
        self._came = {name.lower(): value for name, value in came.items()}

    def get(self, name: str, default: str = "") -> str:
        """A value, or the default where nothing came."""
        return self._came.get(name) or default

    @property
    def version(self) -> str:
        """The one to answer with: what came, or the nearest one below it that there is; the elder one for its words."""
        came = self.get("version") or self.get("wmtver")
        if not came:
            return ELDER if self.get("srs") and not self.get("crs") else NEWEST
        return NEWEST if _parts(came) >= _parts(NEWEST) else ELDER

    def pixel(self) -> tuple[int, int]:
        """Column and row of GetFeatureInfo, whose names are the version's.

        Raises:
            InputError: none.
        """
        names = ("x", "y") if self.version == ELDER else ("i", "j")
        return self.number(names[0]), self.number(names[1])

    def one_of(self, name: str, known: tuple[str, ...], default: str | None = None) -> str:
        """A value out of a list, in any case.

        Raises:
            InputError: another one, or none where one is due.
        """
        value = self.get(name, default or "")
        for one in known:
            if value.lower() == one.lower():
                return one
        raise ParameterError(name, f"{name} {value[:MOST_SHOWN]!r} came; {' or '.join(known)} was due")

    def number(self, name: str) -> int:
        """A whole number.

        Raises:
            InputError: none.
        """
        try:
            return int(self.get(name))
        except ValueError as err:
            raise ParameterError(name, f"{name} {self.get(name)[:MOST_SHOWN]!r} came; a whole number was due") from err

    def layer(self, known: Mapping[str, Quantity], name: str = "layers") -> str:
        """The one layer of those that the run has.

        Raises:
            InputError: no such layer, or several.
        """
        return self.one_of(name, tuple(known))

    def view(self) -> View:
        """The map's area.

        Raises:
            InputError: no such system, box or size.
            TooLargeError: too many pixels.
        """
        is_elder = self.one_of("version", (NEWEST, ELDER), self.version) == ELDER
        crs = self.one_of("srs", SYSTEMS) if is_elder else self.one_of("crs", tuple(AXES))
        text = self.get("bbox")
        try:
            first, second, third, fourth = (float(part) for part in text.split(","))
        except ValueError as err:
            raise ParameterError("bbox", f"bbox {text[:MOST_SHOWN]!r} came; four numbers with commas were due") from err
        if AXES[crs] == ("y", "x") and not is_elder:
            first, second, third, fourth = second, first, fourth, third
        return View(crs, first, second, third, fourth, self.number("width"), self.number("height"))

    def picture(self, quantity: Quantity) -> None:
        """Check style and format.

        Raises:
            InputError: no such style.
            NotAcceptableError: no such format.
        """
        if self.get("styles") not in ("", "default"):
            self.one_of("styles", (quantity.style,))
        wanted = self.get("format", PNG)
        if wanted.split(";")[0].strip().lower() != PNG:
            raise NotAcceptableError(f"format {wanted[:MOST_SHOWN]!r} came; {PNG} was due")

    def background(self) -> tuple[int, int, int] | None:
        """Red, green and blue, where the map is not to be transparent.

        Raises:
            InputError: no colour.
        """
        if self.one_of("transparent", ("true", "false"), "true") == "true":
            return None
        text = self.get("bgcolor", "0xFFFFFF").lower()
        try:
            colour = bytes.fromhex(text.removeprefix("0x"))
            red, green, blue = colour
        except ValueError as err:
            raise ParameterError("bgcolor", f"bgcolor {text[:MOST_SHOWN]!r} came; 0xRRGGBB was due") from err
        return red, green, blue


def _parts(version: str) -> tuple[int, ...]:
    """The numbers of a version; of what is none, the newest one's."""
    parts = version[:MOST_SHOWN].split(".")
    return tuple(int(part) for part in parts) if all(part.isdecimal() for part in parts) else _parts(NEWEST)
