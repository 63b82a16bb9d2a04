"""Conversion of times to text and back: aware UTC, RFC 3339 with `Z` in files and responses."""

import re
from datetime import UTC, datetime
from typing import Final

LOST_PLUS: Final = re.compile(r"(:\d{2}(?:\.\d+)?) (\d{2}(?::?\d{2})?)(?=$|/|,)")
"""A time of day, a space, and a zone's hours; the space between a date and its time is not one of these."""


def utc_now() -> datetime:
    """Return the current time in UTC."""
    return datetime.now(UTC)


def utc(text_or_time: str | datetime) -> datetime:
    """Return an aware UTC time from ISO 8601 text or a time; one without a zone is taken as UTC.

    Raises:
        ValueError: the text is not an ISO 8601 time.
    """
    time = datetime.fromisoformat(text_or_time) if isinstance(text_or_time, str) else text_or_time
    return time.replace(tzinfo=UTC) if time.tzinfo is None else time.astimezone(UTC)


def with_plus(text: str) -> str:
    """Return a time whose zone begins with a plus sign, where a query has turned the sign into a space."""
    return LOST_PLUS.sub(r"\1+\2", text)


def iso(time: datetime) -> str:
    """Return the RFC 3339 text of an aware time, in UTC with a `Z`, with a fraction of a second only if it has one."""
    return time.astimezone(UTC).isoformat().replace("+00:00", "Z")


def stamp(time: datetime) -> str:
    """Return a time as part of a file name: 20200101T1500Z, with seconds only where there are any."""
    return time.strftime("%Y%m%dT%H%MZ" if time.second == 0 else "%Y%m%dT%H%M%SZ")
