"""Time zones by name and by place."""

from functools import lru_cache
from zoneinfo import ZoneInfo

import tzfpy

from core.errors import InputError, shown


def zone_of(name: str) -> ZoneInfo:
    """Return a time zone.

    Raises:
        InputError: no IANA name.
    """
    try:
        return ZoneInfo(name)
    except (KeyError, ValueError, OSError) as err:  # a folder of the data base is an OSError
        raise InputError(f"tz: expected an IANA time zone such as Europe/Berlin, or auto, got {shown(name)}") from err


def zone_at(lat: float, lon: float) -> ZoneInfo:
    """Return the time zone of a place; at sea one of whole hours."""
    return _known_zone(tzfpy.get_tz(lon, lat) or "UTC")


@lru_cache(maxsize=512)
def _known_zone(name: str) -> ZoneInfo:
    """Return a zone of the list of places, or UTC where this computer's database has none of that name."""
    try:
        return zone_of(name)
    except InputError:
        return ZoneInfo("UTC")
