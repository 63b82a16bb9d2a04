"""Units: UDUNITS' spellings, case, water's mass and depth, and texts that are not units."""

import pytest

from core.errors import FrameError
from core.udunits import converts, unit_factor

SPELLINGS = [
    "mm h-1",
    "mm/h",
    "mm/hour",
    "mm hour-1",
    "mm.h-1",
    " mm h-1 ",
    "mm hr-1",
    "mm h**-1",
    "mm h^-1",
    "MM/H",
    "Mm/h",
    "mm h⁻¹",
    "kg m-2 h-1",
    "kg/m2/h",
    "\nkg/(m2 h)",
    "millimeter per hour",
    "mm*h-1",
    "millimetres hours-1",
    "l m-2 h-1",
]
NO_RATES = [
    *[
        "",
        "1",
        "%",
        "mm",
        "dBZ",
        "K",
        "degC",
        "mmh-1",
        "mm/5min",
        "kg m-2 5min-1",
        "mm h -1",
        "0 mm h-1",
        "9**9**9**9 mm",
        "mm h-99999999",
    ],
    *("x" * 100, "mm\0h-1", "__import__", "(" * 30, "m s-1; drop", "1e999 mm h-1", "1e300 mm h-1 km9"),
]


@pytest.mark.parametrize(
    "text",
    SPELLINGS,
)
def test_spellings_of_mm_per_hour(text: str) -> None:
    assert unit_factor(text, "mm h-1") == pytest.approx(1.0)


@pytest.mark.parametrize(
    ("text", "wanted", "factor"),
    [
        ("kilometre", "m", 1000),
        ("kilometres", "m", 1000),
        ("KM", "m", 1000),
        ("1000 meters", "m", 1000),
        ("1e3 m", "m", 1000),
        ("US_survey_foot", "m", None),
        ("degrees_north", "degree", 1),
        ("degree_E", "degree", 1),
        ("degreesN", "degree", 1),
        ("°", "degree", 1),
        ("radian", "degree", 57.29577951),
        ("m s-1", "mm h-1", 3.6e6),
        ("kg m-2 s-1", "mm h-1", 3600),
        ("mm/day", "mm h-1", 1 / 24),
        ("in/h", "mm h-1", 25.4),
        ("0.1 mm", "mm", 0.1),
        ("kg m-2", "mm", 1),
        ("m", "mm", 1000),
        ("minutes", "s", 60),
    ],
)
def test_factors(text: str, wanted: str, factor: float | None) -> None:
    if factor is None:
        assert not converts(text, wanted)
    else:
        assert unit_factor(text, wanted) == pytest.approx(factor)


@pytest.mark.parametrize(
    "text",
    NO_RATES,
)
def test_what_is_not_a_rain_rate_is_refused_by_name(text: str) -> None:
    with pytest.raises(FrameError, match="unit of rain: expected one that converts to mm h-1, got"):
        unit_factor(text, "mm h-1", what="unit of rain")
