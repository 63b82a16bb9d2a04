"""A rule as evaluation uses it, and the checks of what an owner sends."""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from functools import lru_cache
from hashlib import sha256
from json import dumps
from typing import Any, Final
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

import shapely
from shapely.errors import GEOSException

from core.errors import InputError, TooLargeError, shown
from core.units import THRESHOLDS_MMH
from service.queries.areas import MOST_VERTICES, checked_polygon
from service.queries.cells import checked_bbox
from service.queries.longitudes import Polygon, at_most_180
from service.queries.rain import RAIN_MMH
from service.schemas.rules import Language, Quantity, RuleIn

AREAS: Final = ("place", "bbox", "polygon", "region")
SUM: Final = "sum_60min"
SUM_MINUTES: Final = 60
SHORTEST_WINDOW_MINUTES: Final = 5
"""A shorter window may hold no lead at all: its rule would never raise an alert."""

NOT_IN_A_LINE: Final = re.compile(r"[\x00-\x1f\x7f-\x9f\u2028\u2029\u202a-\u202e\u2066-\u2069]")
"""Line breaks, other control characters (PostgreSQL's JSON has no zero), and marks that change the order of writing."""

SUMS_MM: Final = (1.0, 5.0, 10.0, 15.0, 25.0, 40.0)
"""Depths of the next hour whose probabilities forecasts have."""


@dataclass(frozen=True)
class AlertRule:
    """One rule.

    Attributes:
        area: kind of the area and its value, as JSON; rules of one area share their grid cells.
        threshold: mm/h, of sums mm.
        quiet: start, end and time zone of the hours without messages.
        targets: the receivers.
        is_public: its alerts are published.
    """

    id: str
    revision: int
    name: str
    area: tuple[str, Any]
    area_key: str
    quantity: Quantity
    threshold: float
    probability: float
    lead_from: int
    lead_to: int
    dry_minutes: int
    quiet: tuple[str, str, str] | None
    language: Language
    targets: tuple[Mapping[str, Any], ...]
    is_public: bool = False

    @classmethod
    def of(cls, rule_id: str, revision: int, definition: Mapping[str, Any]) -> "AlertRule":
        """Return the rule of a stored definition."""
        kind = next(name for name in AREAS if definition.get(name) is not None)
        quiet = definition.get("quiet_hours")
        return cls(
            rule_id,
            revision,
            definition["name"],
            (kind, definition[kind]),
            area_key(kind, definition[kind]),
            definition["quantity"],
            definition["threshold"],
            definition["probability"],
            definition["lead_from_minutes"],
            definition["lead_to_minutes"],
            definition["dry_minutes"],
            (quiet["start"], quiet["end"], quiet["tz"]) if quiet else None,
            definition["language"],
            tuple(definition["targets"]),
            bool(definition.get("public", False)),
        )

    def is_quiet(self, now: datetime) -> bool:
        """Return whether messages have to wait."""
        if self.quiet is None:
            return False
        start, end, tz = self.quiet
        local = f"{now.astimezone(_zone(tz)):%H:%M}"
        return start <= local < end if start < end else local >= start or local < end


def area_key(kind: str, value: Any) -> str:
    """Return a short name of an area: the same for the same area."""
    return sha256(dumps([kind, value]).encode()).hexdigest()


def check_line(text: str, field: str) -> None:
    """Check that a text of an owner is one line: it stands in mails, on terminals and in feeds.

    Raises:
        InputError: it is none, or has nothing to read; the message does not repeat it, since it may be a secret.
    """
    if NOT_IN_A_LINE.search(text) or not text.strip():
        raise InputError(f"{field}: expected one line of text without control characters, got another text")


def checked_definition(sent: RuleIn) -> dict[str, Any]:
    """Return the definition to store, with defaults filled in; regions and targets are checked elsewhere.

    Raises:
        InputError: not usable; the message names the field.
        TooLargeError: too many vertices.
    """
    found = sent.model_dump(mode="json", exclude={"polygon", "targets"})
    found["polygon"] = None if sent.polygon is None else _geometry(sent.polygon)
    found["targets"] = list(sent.targets)
    given = [name for name in AREAS if found[name] is not None]
    if len(given) != 1:
        raise InputError(f"expected exactly one of {', '.join(AREAS)}, got {', '.join(given) or 'none'}")
    if sent.place is not None:
        found["place"]["lon"] = at_most_180(sent.place.lon)
    if sent.bbox is not None:
        found["bbox"] = list(checked_bbox(sent.bbox))
    if sent.public and sent.region is None:
        raise InputError("public: expected a named region, since nobody's place is published, got another area")
    found["threshold"] = _threshold(sent)
    _check_leads(sent)
    if sent.quiet_hours is not None:
        if sent.quiet_hours.start == sent.quiet_hours.end:
            raise InputError(f"quiet_hours: expected an end that is not the start, got {sent.quiet_hours.end} twice")
        _zone(sent.quiet_hours.tz)
    return found


def _geometry(sent: Mapping[str, Any]) -> dict[str, Any]:
    """Return the two members of a GeoJSON polygon that are stored; the check comes first, since nesting is unlimited.

    Raises:
        InputError: not a usable polygon.
        TooLargeError: too many vertices.
    """
    polygon_of(sent)
    return {"type": sent["type"], "coordinates": sent["coordinates"]}


def polygon_of(geometry: Mapping[str, Any]) -> Polygon:
    """Return the polygon of a GeoJSON geometry.

    Raises:
        InputError: not a usable polygon.
        TooLargeError: too many vertices.
    """
    kind = geometry.get("type")
    if kind not in ("Polygon", "MultiPolygon"):
        raise InputError(f"polygon.type: expected Polygon or MultiPolygon, got {shown(kind)}")
    count = _numbers(geometry.get("coordinates")) // 2
    if count > MOST_VERTICES:
        raise TooLargeError(f"polygon: expected at most {MOST_VERTICES} vertices, got {count}")
    try:
        found = shapely.from_geojson(dumps({name: geometry.get(name) for name in ("type", "coordinates")}))
    except (GEOSException, ValueError, TypeError, RecursionError) as err:
        raise InputError(f"polygon: expected GeoJSON coordinates, got {shown(str(err))}") from err
    return checked_polygon(shapely.force_2d(found))


def _numbers(nested: object) -> int:
    """Return the number of numbers in nested lists, without recursion: the depth is the client's."""
    count, waiting = 0, [nested]
    while waiting:
        one = waiting.pop()
        if isinstance(one, list):
            waiting.extend(one)
        else:
            count += 1
    return count


def _threshold(sent: RuleIn) -> float:
    known: tuple[float, ...] = SUMS_MM if sent.quantity == SUM else THRESHOLDS_MMH
    if sent.threshold is None:
        if sent.quantity in ("start", "end"):
            return RAIN_MMH
        raise InputError(f"threshold: required for {sent.quantity}, but missing")
    if sent.threshold not in known:
        unit, numbers = "mm" if sent.quantity == SUM else "mm/h", ", ".join(f"{one:g}" for one in known)
        raise InputError(f"threshold: expected one of {numbers} {unit}, got {sent.threshold:g}")
    return sent.threshold


def _check_leads(sent: RuleIn) -> None:
    first, last = sent.lead_from_minutes, sent.lead_to_minutes
    if sent.quantity == SUM and (first, last) != (0, SUM_MINUTES):
        raise InputError(f"lead_from_minutes, lead_to_minutes: expected 0 and 60 for {SUM}, got {first} and {last}")
    if last < first + SHORTEST_WINDOW_MINUTES:
        least = f"lead_from_minutes ({first}) by {SHORTEST_WINDOW_MINUTES} or more, for a window with a lead"
        raise InputError(f"lead_to_minutes: expected more than {least}, got {last}")


@lru_cache(maxsize=1024)
def _zone(name: str) -> ZoneInfo:
    """Return a time zone.

    Raises:
        InputError: there is none of that name.
    """
    try:
        return ZoneInfo(name)
    except (ZoneInfoNotFoundError, ValueError, OSError) as err:
        raise InputError(f"quiet_hours.tz: expected an IANA name such as Europe/Berlin, got {shown(name)}") from err
