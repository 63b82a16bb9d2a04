"""Units as UDUNITS writes them ("mm h-1", "1000 meters"), and their factor to another unit."""

import math
import re
from functools import lru_cache
from typing import Any, Final

import pint

from core.errors import FrameError

LONGEST: Final = 64
SUPERSCRIPTS: Final = str.maketrans("⁻⁰¹²³⁴⁵⁶⁷⁸⁹", "-0123456789")
COMPASS: Final = re.compile(r"(?:deg|degrees?)_?(?:[NSEW]|north|south|east|west|true)", re.ASCII)
TOKEN: Final = re.compile(
    r"\s*(?:(?P<number>\d+\.?\d*(?:[eE][+-]?\d{1,3})?)"
    r"|(?P<operator>per\b|[*/.·()])"
    r"|(?P<name>[A-Za-zµ°]+)(?:(?:\*\*|\^)?(?P<exponent>[+-]?\d))?)",
    re.ASCII,
)
"""A number, an operator, or a name with one digit of exponent: no text of a file makes a long calculation."""

WATER_M3_PER_KG: Final = 1e-3

Dimensions = tuple[tuple[str, int], ...]


def unit_factor(text: str, wanted: str, *, what: str = "unit") -> float:
    """Return the factor from a unit to another one; a mass of water per area is a depth (1 kg m-2 is 1 mm).

    Args:
        text: as in a `units` attribute: UDUNITS' names, prefixes, products, quotients and powers.
        wanted: the unit to convert to, in the same spelling.
        what: named in the message, such as "unit of rain".

    Raises:
        FrameError: not a unit, or one that does not convert.
    """
    factor, dimensions = _parsed(wanted)
    for spelling in (text, text.lower()):  # "KM" means kilometres, though UDUNITS knows no such name
        try:
            own_factor, own_dimensions = _parsed(spelling)
        except (ValueError, ArithmeticError):
            continue
        if own_dimensions == dimensions:
            return float(f"{own_factor / factor:.12g}")  # 3600, not 3599.9999999999995
    raise FrameError(f"{what}: expected one that converts to {wanted}, got {text!r}")


def converts(text: str, wanted: str) -> bool:
    """Return whether `unit_factor` knows the factor between two units."""
    try:
        unit_factor(text, wanted)
    except FrameError:
        return False
    return True


@lru_cache(maxsize=256)
def _parsed(text: str) -> tuple[float, Dimensions]:
    """Return the factor to SI base units, and the powers of these.

    Raises:
        ValueError: outside of the grammar, or with an unknown name.
    """
    if not 0 < len(text.strip()) <= LONGEST:
        raise ValueError(f"expected a unit of 1 to {LONGEST} characters, got {len(text)}")
    text = COMPASS.sub("degree", text.strip().translate(SUPERSCRIPTS).replace("°", "degree"))
    factor, powers = 1.0, dict[str, int]()
    sign, at, inside = 1, 0, False
    while at < len(text):
        token = TOKEN.match(text, at)
        if token is None or (token["number"] and (at > 0 or float(token["number"]) <= 0)):
            raise ValueError(f"not a unit: {text!r}")
        at, operator = token.end(), token["operator"]
        if operator in ("/", "per"):
            sign = -1
        elif operator == "(":
            inside = True
        elif operator == ")":
            inside, sign = False, 1
        elif token["number"]:
            factor *= float(token["number"])
        elif token["name"]:
            power = sign * int(token["exponent"] or 1)
            name_factor, name_powers = _named(token["name"])
            factor *= name_factor**power
            for name, of_name in name_powers:
                powers[name] = powers.get(name, 0) + of_name * power
            sign = sign if inside else 1
    return _as_depth(factor, powers)


def _as_depth(factor: float, powers: dict[str, int]) -> tuple[float, Dimensions]:
    """Return a mass of water as its volume."""
    mass = powers.pop("kilogram", 0)
    powers["meter"] = powers.get("meter", 0) + 3 * mass
    factor *= WATER_M3_PER_KG**mass
    if not (math.isfinite(factor) and factor > 0):
        raise ValueError(f"expected a finite factor, got {factor}")
    return factor, tuple(sorted((name, power) for name, power in powers.items() if power))


@lru_cache(maxsize=256)
def _named(name: str) -> tuple[float, Dimensions]:
    if name == "Mm":  # no file has rain or cells in megametres: "Mm/h" is "mm/h" with a capital
        raise ValueError(f"not the name of a unit: {name!r}")
    try:
        base = _registry().Quantity(1.0, name).to_base_units()
        powers = tuple((str(unit), round(float(str(power)))) for unit, power in base.unit_items())
    except (pint.PintError, AttributeError, ValueError, TypeError, ArithmeticError) as err:
        raise ValueError(f"not the name of a unit: {name!r}") from err
    return float(base.magnitude), powers


@lru_cache(maxsize=1)
def _registry() -> "pint.UnitRegistry[Any]":
    return pint.UnitRegistry()
