"""Attributes of ODIM_H5 files in the types that real files have: arrays of one, padded text, numbers as text."""

import re
from datetime import UTC, datetime
from typing import Any, Final

import numpy as np

from core.errors import FrameError
from ingest.readers.hdf5 import scalar, text

DATE: Final = re.compile(r"\d{8}")
CLOCK: Final = re.compile(r"\d{4}(\d{2})?")
UNDECIDED_BELOW, MINUTES = 2400, 60
"""A time as a number, 1000, is 10:00 or 00:10:00: no writer's rule says which."""


def optional(name: str, part: str, *holders: Any) -> Any:
    """Return an attribute of the first group whose `what`, `where` or `how` has it, else None."""
    for holder in holders:
        if holder is not None and part in holder and name in holder[part].attrs:
            return scalar(holder[part].attrs[name])
    return None


def required(name: str, part: str, *holders: Any) -> Any:
    """Return an attribute of the first group that has it, from the inner to the outer group as ODIM defines it.

    Raises:
        FrameError: no group has it.
    """
    value = optional(name, part, *holders)
    if value is None:
        raise FrameError(f"ODIM file without {holders[0].name.rstrip('/')}/{part}/{name}")
    return value


def as_number(value: Any, name: str, *, finite: bool = True) -> float:
    """Return an attribute's value as a number.

    Raises:
        FrameError: not a number, or not a finite one where one is expected.
    """
    try:
        number = float(text(value) if isinstance(value, bytes | str) else value)
    except (TypeError, ValueError) as err:
        raise FrameError(f"ODIM attribute {name}: expected a number, got {value!r}") from err
    if finite and not np.isfinite(number):
        raise FrameError(f"ODIM attribute {name}: expected a finite number, got {number}")
    return number


def number(name: str, part: str, *holders: Any) -> float:
    """Return a required attribute as a finite number."""
    return as_number(required(name, part, *holders), f"{part}/{name}")


def optional_number(name: str, part: str, *holders: Any, finite: bool = True) -> float | None:
    """Return an attribute as a number, or None without it."""
    value = optional(name, part, *holders)
    return None if value is None else as_number(value, f"{part}/{name}", finite=finite)


def time_of(which: str, *holders: Any) -> datetime | None:
    """Return a date and time of `what` (`start`, `end`, or an empty text for the nominal one), None without a date.

    Raises:
        FrameError: not a date yyyymmdd with a time HHMM or HHMMSS.
    """
    date = optional(f"{which}date", "what", *holders)
    if date is None:
        return None
    clock = required(f"{which}time", "what", *holders)
    if not isinstance(clock, bytes | str) and 0 < clock < UNDECIDED_BELOW and clock % 100 < MINUTES:
        raise FrameError(f"ODIM attribute what/{which}time: expected a text, got {clock}, which may be HHMM or HHMMSS")
    day, hour = (
        text(value) if isinstance(value, bytes | str) else f"{as_number(value, f'what/{which}time'):0{width}.0f}"
        for value, width in ((date, 8), (clock, 6))
    )
    try:
        if not DATE.fullmatch(day) or not CLOCK.fullmatch(hour):
            raise ValueError("not digits")
        return datetime.strptime(f"{day}{hour:0<6}", "%Y%m%d%H%M%S").replace(tzinfo=UTC)
    except ValueError as err:
        raise FrameError(
            f"{holders[0].name.rstrip('/')}/what: expected a time yyyymmdd and HHMMSS or HHMM, got {day!r} and {hour!r}"
        ) from err


def names_of(value: Any) -> list[str]:
    """Return the names in a list of radars: one text with commas, quotes and brackets, or an array of texts."""
    if value is None:
        return []
    texts = [text(item) for item in np.atleast_1d(np.asarray(value, object)).ravel()]
    return [name for part in texts for name in re.split(r"[\s,;'\"\[\]()<>]+", part) if name]
