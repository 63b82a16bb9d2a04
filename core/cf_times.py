"""Times of CF data sets: to the second, with the interval and the reference time of each field."""

import re
from datetime import UTC, datetime
from typing import Any, Final

import cftime
import numpy as np
import xarray as xr
from numpy.typing import NDArray

from core.cf_axes import PERIOD, valid_time_along
from core.errors import FrameError
from core.udunits import unit_factor

REFERENCE: Final = "forecast_reference_time"
REFERENCE_NAME: Final = "reference_time"
"""Name of a reference time that has no standard name."""

SINCE: Final = re.compile(
    r"\s*(?P<unit>[A-Za-z]+)\s+since\s+(?P<date>-?\d{1,4}-\d{1,2}-\d{1,2})"
    r"(?:[T ]\s*(?:0{1,2}|\d{1,2}(?::\d{1,2}){1,2}(?:\.\d*)?))?\s*(?:Z|UTC|GMT|[+-]\d{1,2}(?::?\d{2})?)?\s*",
    re.ASCII | re.IGNORECASE,
)
"""Units of time whose zone is understood: none, UTC, or an offset in numbers.

An hour without minutes has to be 0: xarray leaves out any other one.
"""

EARLIEST: Final = datetime(1940, 1, 1, tzinfo=UTC)
"""No weather radar observed rain before it; a year of two digits is a year of the first century."""

EXACT_S: Final = 0.5
TOLERANCE_S: Final = 30.0


def time_name(rate: xr.DataArray) -> str:
    """Return the name of the time coordinate of a field or fields in order.

    Raises:
        FrameError: there is none, or there are several.
    """
    if rate.ndim == 3:
        dim = str(rate.dims[0])
        is_time = dim not in rate.coords or rate[dim].attrs.get("standard_name", "time") == "time"
        return dim if is_time else valid_time_along(rate, dim) or dim
    scalars = [str(name) for name, coordinate in rate.coords.items() if coordinate.ndim == 0]
    named = [name for name in scalars if rate[name].attrs.get("standard_name", name) == "time"]
    if len(named) != 1:
        raise FrameError(f"{rate.name}: expected a coordinate time with CF times, got {', '.join(named) or 'none'}")
    return named[0]


def times_of(dataset: xr.Dataset, name: str = "time") -> list[datetime]:
    """Return the valid times as aware UTC, rounded to the second.

    Raises:
        FrameError: there is no decoded time coordinate, its calendar, zone or precision leaves a doubt, or a time is
            before the age of radar.
    """
    if name not in dataset.variables:
        raise FrameError(f"expected a coordinate {name} with CF times, got none")
    times = [_utc(second) for second in _seconds(dataset, name).ravel().tolist()]
    if any(time < EARLIEST for time in times):
        raise FrameError(f"coordinate {name}: expected times from {EARLIEST.year} on, got {min(times).isoformat()}")
    return times


def intervals_of(dataset: xr.Dataset, name: str = "time") -> list[tuple[datetime, datetime]]:
    """Return the start and end of each field's interval: by the bounds of its time, else by `interval_minutes`.

    Raises:
        FrameError: bounds that are no times or end before they start.
    """
    ends = times_of(dataset, name)
    time = dataset[name]
    bounds_name = time.attrs.get("bounds") or time.encoding.get("bounds")
    if bounds_name is None:
        minutes = _minutes(dataset.attrs.get("interval_minutes", 0.0))
        return [(_utc(end.timestamp() - minutes * 60), end) for end in ends]
    shape = dataset[bounds_name].shape if bounds_name in dataset.variables else ()
    if shape != (len(ends), 2) and not (len(ends) == 1 and shape == (2,)):
        raise FrameError(f"time bounds {bounds_name}: expected two CF times per field, got the shape {shape}")
    pairs = [(_utc(a), _utc(b)) for a, b in _seconds(dataset, bounds_name, time).reshape(-1, 2).tolist()]
    if any(start > end for start, end in pairs):
        raise FrameError(f"time bounds {bounds_name} end before they start")
    return pairs


def references_of(dataset: xr.Dataset, count: int) -> list[datetime | None]:
    """Return the `forecast_reference_time` of each field: a variable, one for all or one per field, or a global text.

    Raises:
        FrameError: several variables that differ, another number of times, or a text that is no time.
    """
    names = _called(dataset, REFERENCE)
    if not names and "standard_name" not in dataset.variables.get(REFERENCE_NAME, xr.Variable((), 0)).attrs:
        names = [name for name in (REFERENCE_NAME,) if name in dataset.variables]
    found = [_per_field(name, times_of(dataset, name), count) for name in names]
    if any(one != found[0] for one in found):
        raise FrameError(f"{REFERENCE}: expected one per field, got {', '.join(names)}")
    return list(found[0]) if found else [_stated_reference(dataset)] * count


def _stated_reference(dataset: xr.Dataset) -> datetime | None:
    """Return the global attribute `forecast_reference_time`, UTC if it states no zone."""
    stated = dataset.attrs.get(REFERENCE)
    if stated is None:
        return None
    try:
        time = datetime.fromisoformat(str(stated).strip())
    except ValueError as err:
        raise FrameError(f"global attribute {REFERENCE}: expected a time of ISO 8601, got {stated!r}") from err
    return time.replace(tzinfo=UTC) if time.tzinfo is None else time.astimezone(UTC)


def periods_of(dataset: xr.Dataset, count: int) -> list[float | None]:
    """Return the `forecast_period` of each field in minutes.

    Raises:
        FrameError: no number per field, or of an unknown unit.
    """
    names = _called(dataset, PERIOD)
    if not names:
        return [None] * count
    variable = dataset[names[0]]
    values = np.ravel(variable.values)
    if np.issubdtype(values.dtype, np.timedelta64):
        minutes = values / np.timedelta64(1, "m")
    elif values.dtype.kind in "iuf":
        units = str(variable.attrs.get("units", ""))
        minutes = values.astype(np.float64) * unit_factor(units, "minutes", what=f"unit of {names[0]}")
    else:
        raise FrameError(f"{names[0]}: expected numbers, got {values.dtype}")
    if not np.isfinite(minutes).all():
        raise FrameError(f"{names[0]}: expected a period for every field, got missing ones")
    return list(_per_field(names[0], minutes.tolist(), count))


def _per_field(name: str, values: list[Any], count: int) -> list[Any]:
    if len(values) not in (1, count):
        raise FrameError(f"{name}: expected one value or one per field, got {len(values)} for {count} fields")
    return values * count if len(values) == 1 else values


def _called(dataset: xr.Dataset, what: str) -> list[str]:
    return [
        str(name)
        for name, variable in dataset.variables.items()
        if variable.attrs.get("standard_name", str(name)) == what
    ]


def _seconds(dataset: xr.Dataset, name: str, like: xr.DataArray | None = None) -> NDArray[np.int64]:
    """Return decoded times in whole seconds since 1970; bounds have the units of `like`."""
    variable = dataset[name]
    values: Any = variable.values
    if values.dtype == object and values.size and isinstance(values.flat[0], cftime.datetime):
        values = _of_calendar(name, values)
    if not np.issubdtype(values.dtype, np.datetime64):
        raise FrameError(f"expected a coordinate {name} with CF times, got none")
    if np.isnat(values).any():
        raise FrameError(f"coordinate {name}: expected a time for every field, got missing ones")
    encoding = variable.encoding if like is None or "units" in variable.encoding else like.encoding
    units = str(encoding.get("units", "seconds since 1970-01-01"))
    since = SINCE.fullmatch(units)
    if since is None:
        raise FrameError(f"units of {name}: expected 'UNIT since DATE' in UTC or with an offset, got {units!r}")
    milliseconds = values.astype("datetime64[ms]").astype(np.int64)
    if variable.encoding.get("dtype") == np.float32:
        return _whole_minutes(name, milliseconds, since, str(encoding.get("calendar", "standard")))
    return np.asarray((milliseconds + 500) // 1000, np.int64)


def _whole_minutes(
    name: str, milliseconds: NDArray[np.int64], since: re.Match[str], calendar: str
) -> NDArray[np.int64]:
    """Return times in single precision: to the second if that is known, else the whole minutes that they stand for."""
    epoch = cftime.num2date(0, f"days since {since['date']}", calendar=calendar)
    start = cftime.date2num(epoch, "seconds since 1970-01-01", calendar=calendar)
    unit_s = unit_factor(since["unit"], "s", what=f"units of {name}")
    largest = np.abs(milliseconds / 1000 - start).max(initial=0.0) / unit_s
    precision_s = float(np.spacing(np.float32(largest))) * unit_s / 2
    if precision_s < EXACT_S / 10:
        return np.asarray((milliseconds + 500) // 1000, np.int64)
    minutes = np.round(milliseconds / 60_000).astype(np.int64)
    off_s = np.abs(milliseconds / 1000 - minutes * 60).max(initial=0.0)
    if precision_s > TOLERANCE_S / 2 or off_s > 1.5 * precision_s + 0.01:
        raise FrameError(f"times {name} in single precision: expected whole minutes, got times to {precision_s:.0f} s")
    return np.asarray(minutes * 60, np.int64)


def _of_calendar(name: str, values: NDArray[Any]) -> NDArray[Any]:
    """Return times of the Julian or another real calendar; a calendar of models has days that never were."""
    calendar = str(values.flat[0].calendar)
    if calendar not in ("standard", "gregorian", "proleptic_gregorian", "julian"):
        raise FrameError(f"calendar of {name}: expected standard, proleptic_gregorian or julian, got {calendar}")
    texts = [one.change_calendar("standard").isoformat() for one in values.ravel()]
    return np.array(texts, "datetime64[ms]").reshape(values.shape)


def _minutes(value: Any) -> float:
    try:
        minutes = float(value)
    except (TypeError, ValueError):
        minutes = -1.0
    if not 0 <= minutes < np.inf:
        raise FrameError(f"interval_minutes: expected a number of 0 or more, got {value!r}")
    return minutes


def _utc(second: float) -> datetime:
    try:
        return datetime.fromtimestamp(float(second), UTC)
    except (OverflowError, ValueError, OSError) as err:
        raise FrameError(f"expected times of the years 1 to 9999, got {second} seconds since 1970") from err
