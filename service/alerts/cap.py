"""Alerts of public rules as documents of the Common Alerting Protocol 1.2 (OASIS), and an Atom index of them.

A document is made from the event alone, so that it never changes: raised is an Alert, updated an Update, ended an
Update that says "all clear", cancelled a Cancel. Each names all documents of its alert before it as references.
"""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, Final
from uuid import NAMESPACE_URL, uuid5
from xml.etree import ElementTree as ET

import shapely
from sqlalchemy import Engine, select

from core.errors import NoDataError
from core.settings import Settings
from core.times import utc
from ingest.store.database import reading
from service.alerts.messages import service_address
from service.alerts.regions import Regions
from service.alerts.rule import SUM
from service.alerts.tables import RuleEventRow, RuleRow
from service.forecasts.statement import Statement
from service.queries.longitudes import Polygon

CAP: Final = "urn:oasis:names:tc:emergency:cap:1.2"
ATOM: Final = "http://www.w3.org/2005/Atom"
CAP_TYPE: Final = "application/cap+xml"
LANGUAGES: Final = {"en": "en-GB", "de": "de-DE"}
NAMES: Final = {"en": "Rain", "de": "Regen"}
MESSAGE_TYPES: Final = {"raised": "Alert", "updated": "Update", "ended": "Update", "cancelled": "Cancel"}
SEVERITIES: Final = ((30.0, "Severe"), (10.0, "Moderate"), (0.0, "Minor"))
"""Least threshold (mm/h, of sums mm) of each severity; the probability is `certainty` and says nothing of it."""

LIKELY: Final = 0.5
"""CAP 1.2, 3.2.2: "Likely" is a probability above 50 %."""

NOT_XML: Final = re.compile(rb"[\x00-\x08\x0b\x0c\x0e-\x1f]|\xef\xbf[\xbe\xbf]")
"""Characters that XML 1.0 does not have, in UTF-8."""

SOON: Final = timedelta(minutes=15)
NEWEST: Final = 200


@dataclass(frozen=True)
class PublicEvent:
    """One event of a public rule: its document, its number, and when it was sent."""

    document: Mapping[str, Any]
    number: int
    sent_at: datetime

    @property
    def id(self) -> str:
        """Return the id of the event."""
        return str(self.document["event_id"])


def public_events(engine: Engine, region: str | None, limit: int = NEWEST) -> list[PublicEvent]:
    """Return the newest events of public rules, of one region or of all, the newest first."""
    row = RuleEventRow
    query = _of_public_rules().order_by(row.number.desc())
    if region is not None:
        query = query.where(row.document["region"].as_string() == region)  # the rule may be of another one by now
    with reading(engine) as connection:
        return [PublicEvent(*each) for each in connection.execute(query.limit(limit))]


def chain_of(engine: Engine, event_id: str) -> list[PublicEvent]:
    """Return an event of a public rule and those of its alert before it, ascending.

    Raises:
        NoDataError: there is no such event.
    """
    row = RuleEventRow
    own = select(row.alert_id).where(row.id == event_id).scalar_subquery()
    with reading(engine) as connection:
        found = [
            PublicEvent(*each)
            for each in connection.execute(_of_public_rules().where(row.alert_id == own).order_by(row.number))
        ]
    until = next((index for index, each in enumerate(found) if each.id == event_id), None)
    if until is None:
        raise NoDataError(f"no public alert has an event of the id {event_id}")
    return found[: until + 1]


def cap_document(chain: Sequence[PublicEvent], settings: Settings, regions: Regions) -> bytes:
    """Return the CAP document of the last event of a chain."""
    event, earlier = chain[-1], chain[:-1]
    sender = str(settings.cap_sender)
    alert = ET.Element("alert", xmlns=CAP)
    is_real = not settings.invented and settings.source_kind != "replay"
    add = {
        "identifier": event.id,
        "sender": sender,
        "sent": _time(event.sent_at),
        "status": "Actual" if is_real else "Test",
        "msgType": MESSAGE_TYPES[event.document["event"]],
        "scope": "Public",
        "note": "An automatic statement of probability, not an official warning.",
    }
    if earlier:
        add["references"] = " ".join(f"{sender},{one.id},{_time(one.sent_at)}" for one in earlier)
    for name, text in add.items():
        ET.SubElement(alert, name).text = text
    _add_info(alert, event, settings, regions)
    return _written(alert)


def atom_index(
    found: Sequence[PublicEvent], settings: Settings, address: str, region: str | None, now: datetime
) -> bytes:
    """Return the Atom feed of events.

    Args:
        found: the events.
        settings: of the service.
        address: of the service, as the reader of the feed reaches it.
        region: of the events; None: of all.
        now: time of a feed without events.
    """
    query = f"?region={region}" if region else ""
    here = f"{address}/alerts/cap{query}"
    feed = ET.Element("feed", xmlns=ATOM)
    ET.SubElement(feed, "id").text = _feed_id(settings, query)
    ET.SubElement(feed, "title").text = "Alerts of rain" + (f", {region}" if region else "")
    ET.SubElement(feed, "updated").text = _time(max((one.sent_at for one in found), default=now))
    ET.SubElement(ET.SubElement(feed, "author"), "name").text = str(settings.cap_sender)
    ET.SubElement(feed, "link", rel="self", href=here)
    if source_credit := Statement.of(settings).source_credit:
        ET.SubElement(feed, "rights").text = source_credit
    for one in found:
        entry = ET.SubElement(feed, "entry")
        ET.SubElement(entry, "id").text = f"urn:uuid:{one.id}"
        ET.SubElement(entry, "title").text = str(one.document["message"])
        for name in ("published", "updated"):
            ET.SubElement(entry, name).text = _time(one.sent_at)
        ET.SubElement(entry, "category", term=str(one.document["event"]))
        link = f"{address}/alerts/cap/{one.id}.xml"
        ET.SubElement(entry, "link", rel="alternate", type=CAP_TYPE, href=link)
        ET.SubElement(entry, "summary").text = str(one.document["message"])
    return _written(feed)


def _feed_id(settings: Settings, query: str) -> str:
    """Return the id of a feed, which never changes (RFC 4287, 4.2.6), by whatever name a reader reaches the service.

    It is the public address; without one it follows from the sender, by whom each document is identified, too.
    """
    if settings.public_url:
        return f"{settings.public_url.rstrip('/')}/alerts/cap{query}"
    return uuid5(NAMESPACE_URL, f"mailto:{settings.cap_sender}/alerts/cap{query}").urn


def _written(root: ET.Element) -> bytes:
    """Return a document as XML: a control character in the name of a rule would make it unreadable."""
    return NOT_XML.sub(b" ", ET.tostring(root, encoding="utf-8", xml_declaration=True))


def _of_public_rules() -> Any:
    row = RuleEventRow
    is_public = RuleRow.definition["public"].as_boolean().is_(True) & row.document["is_public"].as_boolean().is_(True)
    return select(row.document, row.number, row.created_at).join(RuleRow, RuleRow.id == row.rule_id).where(is_public)


def _add_info(alert: ET.Element, event: PublicEvent, settings: Settings, regions: Regions) -> None:
    document, info = event.document, ET.SubElement(alert, "info")
    over = document["event"] in ("ended", "cancelled")
    expected = utc(document["expected_at"]) if document["expected_at"] else None
    until = event.sent_at if over else max(utc(document["valid_until"]), event.sent_at)
    add = {
        "language": LANGUAGES[document["language"]],
        "category": "Met",
        "event": NAMES[document["language"]],
        "responseType": "AllClear" if over else "Monitor",
        "urgency": _urgency(event, expected),
        "severity": next(name for least, name in SEVERITIES if document["threshold"] >= least),
        "certainty": _certainty(event),
        "effective": _time(event.sent_at),
        **({"onset": _time(max(expected, event.sent_at))} if expected and not over else {}),
        "expires": _time(until),
        "senderName": str(settings.cap_sender),
        "headline": str(document["message"])[:160],
        "description": str(document["message"]),
        **({"web": address} if (address := service_address(settings)) else {}),
    }
    for name, text in add.items():
        ET.SubElement(info, name).text = text
    unit = "mm" if document["quantity"] == SUM else "mm/h"
    for name, number in (("probability", document["probability"]), (f"threshold in {unit}", document["threshold"])):
        if number is not None:
            _add_pair(info, "parameter", name, f"{number:g}")
    if source_credit := Statement.of(settings).source_credit:
        _add_pair(info, "parameter", "attribution", source_credit)
    _add_area(info, str(document["region"]), regions)


def _add_pair(parent: ET.Element, kind: str, name: str, value: str) -> None:
    pair = ET.SubElement(parent, kind)
    ET.SubElement(pair, "valueName").text = name
    ET.SubElement(pair, "value").text = value


def _add_area(info: ET.Element, region: str, regions: Regions) -> None:
    """Add the region: its name, its outer rings as latitude,longitude, and its id."""
    area = ET.SubElement(info, "area")
    ET.SubElement(area, "areaDesc").text = regions.names.get(region, region)
    for ring in _rings(regions.find(region)):
        ET.SubElement(area, "polygon").text = " ".join(f"{lat:.3f},{lon:.3f}" for lon, lat in ring)
    _add_pair(area, "geocode", "region", region)


def _rings(polygon: Polygon | None) -> list[list[tuple[float, float]]]:
    if polygon is None:
        return []
    parts = shapely.get_parts(polygon)
    return [[(float(lon), float(lat)) for lon, lat in shapely.get_coordinates(one.exterior)] for one in parts]


def _urgency(event: PublicEvent, expected: datetime | None) -> str:
    if event.document["event"] in ("ended", "cancelled"):
        return "Past" if event.document["event"] == "ended" else "Unknown"
    return "Immediate" if expected is None or expected - utc(event.document["reference_time"]) <= SOON else "Expected"


def _certainty(event: PublicEvent) -> str:
    probability = event.document["probability"]
    if probability is None:
        return "Unknown"
    return "Likely" if probability > LIKELY else "Possible"


def _time(time: datetime) -> str:
    """Return a time as CAP wants it: no fraction of a second, and an offset in place of Z."""
    return utc(time).replace(microsecond=0).isoformat().replace("+00:00", "-00:00")
