"""Rain in CF data sets of other people: which variable, in which unit, and which of its cells are observed."""

import re
from collections.abc import Sequence
from typing import Any, Final

import netCDF4
import numpy as np
import xarray as xr
from numpy.typing import NDArray

from core.cf_axes import find_grid as find_grid
from core.cf_axes import in_order
from core.cf_times import times_of as times_of
from core.errors import FrameError
from core.udunits import converts, unit_factor

RATE_NAMES: Final = (
    "rainfall_rate",
    "lwe_precipitation_rate",
    "precipitation_rate",
    "rainfall_flux",
    "precipitation_flux",
)
AMOUNT_NAMES: Final = (
    "rainfall_amount",
    "precipitation_amount",
    "lwe_thickness_of_precipitation_amount",
    "thickness_of_rainfall_amount",
)
OTHER_NAMES: Final = ("precipitation", "precip", "rain", "rainrate", "rain_rate", "precip_rate", "precipitationCal")
"""Names without a standard name, of a rate if the unit is one; IMERG's HDF5 files have such."""

FILL_NAMES: Final = ("_FillValue", "missing_value")
VALID_NAMES: Final = ("valid_range", "valid_min", "valid_max")
MM_PER_HOUR: Final = "mm h-1"
OTHER_STATISTICS: Final = ("maximum", "minimum", "standard_deviation", "variance", "range", "median", "mode")
"""Parts of `cell_methods` of a variable that is not the rain itself."""


def find_rate(dataset: xr.Dataset) -> xr.DataArray:
    """Return the rain rate as (time, y, x) or (y, x), found by standard name, else by variable name.

    Raises:
        FrameError: there is none, or more than one, or its unit is not a unit of rain rate.
    """
    found = _candidates(dataset, RATE_NAMES) or _named_otherwise(dataset)
    if not found:
        raise FrameError(
            f"expected a variable with one of the standard names {', '.join(RATE_NAMES)}, got the variables "
            f"{', '.join(sorted(map(str, dataset.data_vars))) or 'none'}"
        )
    rate = _only([one for one in found if converts(_units(one), MM_PER_HOUR)] or found)
    if not converts(_units(rate), MM_PER_HOUR):
        raise FrameError(f"unit of {rate.name}: expected one of rain rate such as {MM_PER_HOUR}, got {_units(rate)!r}")
    return in_order(rate)


def find_rain(dataset: xr.Dataset) -> xr.DataArray:
    """Return the rain rate, or without one the amount of rain, as (time, y, x) or (y, x).

    Raises:
        FrameError: there is neither, or more than one, or its unit is not a unit of rain.
    """
    amount = find_amount(dataset)
    return find_rate(dataset) if amount is None else amount


def find_amount(dataset: xr.Dataset) -> xr.DataArray | None:
    """Return the amount of rain of a data set without a rate; None where there is a rate or no amount.

    Raises:
        FrameError: more than one amount.
    """
    if _candidates(dataset, RATE_NAMES):
        return None
    found = [one for one in _candidates(dataset, AMOUNT_NAMES) if converts(_units(one), "mm")]
    return in_order(_only(found)) if found else None


def is_amount(rain: xr.DataArray) -> bool:
    """Return whether a variable's unit is one of an amount, not of a rate."""
    return converts(_units(rain), "mm")


def mmh_per_unit(rain: xr.DataArray, interval_minutes: float = 0.0) -> float:
    """Return the factor from the variable's own unit to mm/h; an amount fell within an interval.

    Raises:
        FrameError: an amount without an interval.
    """
    if not is_amount(rain):
        return unit_factor(_units(rain), MM_PER_HOUR, what=f"unit of {rain.name}")
    if not interval_minutes > 0:
        raise FrameError(
            f"{rain.name} in {_units(rain)}: expected the interval of this amount, as bounds of its time or as the "
            "attribute interval_minutes, got none"
        )
    return unit_factor(_units(rain), "mm") * 60.0 / interval_minutes


def values_of(rain: xr.DataArray, which: int | slice) -> NDArray[np.floating[Any]]:
    """Return fields in the variable's own unit, NaN where not observed.

    Not observed are: `_FillValue` and `missing_value` (masked by xarray), netCDF's default fill values of whole
    numbers, values outside `valid_range`, `valid_min` and `valid_max`, and `flag_values`, which have a meaning instead.
    """
    for name in ("scale_factor", "add_offset"):  # xarray fails on a text without naming the attribute
        if isinstance(stated := rain.encoding.get(name, rain.attrs.get(name)), str):
            raise FrameError(f"{name} of {rain.name}: expected a number, got the text {stated!r}")
    values = np.asarray(rain[which].values)
    if not np.issubdtype(values.dtype, np.floating):
        if values.dtype.kind not in "iu":
            raise FrameError(f"{rain.name}: expected numbers, got {values.dtype}")
        values = values.astype(np.float64 if values.dtype.itemsize > 2 else np.float32)
    lowest = float(np.fmin.reduce(values, axis=None, initial=np.inf))
    highest = float(np.fmax.reduce(values, axis=None, initial=-np.inf))
    for low, high in _no_value(rain):  # ends are Python's numbers, so that they are compared in the field's precision
        if lowest < high and highest > low:
            values = np.where((values > low) & (values < high) & np.isfinite(values), np.nan, values)
    return values


def unstated_marks(rain: xr.DataArray) -> tuple[float, ...]:
    """Return the decoded value of a count that most likely stands for a missing value, if no attribute states one.

    It is the largest of an unsigned type, and the smallest of a signed one unless it stands for 0 or more.
    """
    encoding = rain.encoding
    packed = np.dtype(encoding.get("dtype", rain.dtype))
    stated = [*(encoding.get(name) for name in FILL_NAMES), *(rain.attrs.get(name) for name in VALID_NAMES)]
    if packed.kind not in "iu" or packed.itemsize > 2 or any(value is not None for value in stated):
        return ()
    is_unsigned = packed.kind == "u" or str(encoding.get("_Unsigned", "false")).lower() == "true"
    limits = np.iinfo(f"u{packed.itemsize}" if is_unsigned else packed)
    count = limits.max if is_unsigned else limits.min
    mark = float(count) * float(encoding.get("scale_factor", 1.0)) + float(encoding.get("add_offset", 0.0))
    return (mark,) if is_unsigned or mark < 0 else ()


def _no_value(rain: xr.DataArray) -> list[tuple[float, float]]:
    """Return the intervals of decoded values that stand for cells that are not observed, both ends exclusive."""
    encoding = rain.encoding
    scale, offset = float(encoding.get("scale_factor", 1.0)), float(encoding.get("add_offset", 0.0))
    packed = np.dtype(encoding.get("dtype", rain.dtype))
    half_step = abs(scale) / 2 if packed.kind in "iu" else 0.0
    found: list[tuple[float, float]] = []
    has_fill = any(encoding.get(name) is not None for name in FILL_NAMES)
    if packed.kind in "iu" and packed.itemsize > 1 and not has_fill:  # bytes have no default fill value
        fill = float(netCDF4.default_fillvals[packed.str[1:]]) * scale + offset
        found.append((fill - half_step, fill + half_step))
    for flag in np.ravel(rain.attrs.get("flag_values", ())):
        value = _limit(rain, np.asarray(flag), packed, scale, offset)
        off = half_step or max(abs(value), 1.0) * 1e-6
        found.append((value - off, value + off))
    low, high = _valid(rain, packed, scale, offset)
    if low is not None:
        found.append((-np.inf, low - half_step))
    if high is not None:
        found.append((high + half_step, np.inf))
    return found


def _valid(rain: xr.DataArray, packed: np.dtype[Any], scale: float, offset: float) -> tuple[float | None, float | None]:
    """Return the decoded ends of the valid range; limits of the packed type are packed (CF 8.1)."""
    attributes = rain.attrs
    pair = attributes.get("valid_range", (attributes.get("valid_min"), attributes.get("valid_max")))
    if np.size(pair) != 2:
        raise FrameError(f"valid_range of {rain.name}: expected two numbers, got {pair!r}")
    limits: list[float | None] = []
    for value in pair:
        if value is None:
            limits.append(None)
            continue
        limits.append(_limit(rain, np.asarray(value), packed, scale, offset))
    low, high = limits
    return (high, low) if scale < 0 and low is not None and high is not None and low > high else (low, high)


def _limit(rain: xr.DataArray, value: NDArray[Any], packed: np.dtype[Any], scale: float, offset: float) -> float:
    if value.size != 1 or value.dtype.kind not in "iuf":
        raise FrameError(f"valid range of {rain.name}: expected numbers, got {value!r}")
    number = float(value.ravel()[0])
    if str(rain.encoding.get("_Unsigned", "false")).lower() == "true" and value.dtype.kind == "i" and number < 0:
        number += 2.0 ** (8 * value.dtype.itemsize)
    is_packed = packed.kind in "iu" and value.dtype.kind in "iu" and (scale != 1.0 or offset != 0.0)
    return number * scale + offset if is_packed else number


def _candidates(dataset: xr.Dataset, names: Sequence[str]) -> list[xr.DataArray]:
    """Return the variables of one of the standard names that can be the rain itself, else those of such a name."""
    by_standard_name = [v for v in dataset.data_vars.values() if v.attrs.get("standard_name") in names]
    found = by_standard_name or [dataset[name] for name in names if name in dataset.data_vars]
    ancillary = {
        word
        for variable in dataset.data_vars.values()
        for word in str(variable.attrs.get("ancillary_variables", "")).split()
    }
    rain = [
        one
        for one in found
        if one.name not in ancillary
        and "flag_values" not in one.attrs
        and "flag_meanings" not in one.attrs
        and not _other_statistic(one)
    ]
    if found and all(map(_other_statistic, found)):
        methods = found[0].attrs["cell_methods"]
        raise FrameError(f"cell_methods of {found[0].name}: expected a mean, a sum or a point, got {methods!r}")
    return rain or [one for one in found if not _other_statistic(one)]


def _other_statistic(variable: xr.DataArray) -> bool:
    """Return whether a variable is a maximum or the like, by its cell methods without their comments."""
    methods = re.sub(r"\([^()]*\)", " ", str(variable.attrs.get("cell_methods", ""))).split()
    return any(word in methods for word in OTHER_STATISTICS)


def _named_otherwise(dataset: xr.Dataset) -> list[xr.DataArray]:
    """Return the variables without a standard name that are rates by name and unit."""
    named = [dataset[name] for name in OTHER_NAMES if name in dataset.data_vars]
    return [one for one in named if "standard_name" not in one.attrs and converts(_units(one), MM_PER_HOUR)]


def _only(found: Sequence[xr.DataArray]) -> xr.DataArray:
    """Return the one variable.

    Raises:
        FrameError: several; none of them is preferred by its place in the file.
    """
    if len(found) > 1:
        names = " and ".join(str(one.name) for one in found)
        raise FrameError(
            f"expected one variable of rain, got {names} ({found[0].attrs.get('standard_name', 'no name')})"
        )
    return found[0]


def _units(variable: xr.DataArray) -> str:
    return str(variable.attrs.get("units", ""))
