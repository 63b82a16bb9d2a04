"""The documents of events: what happened, in numbers and in a sentence, with the record of such alerts."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, Final
from uuid import NAMESPACE_URL, uuid5
from zoneinfo import ZoneInfo

from core.errors import ConfigError
from core.settings import Settings
from core.times import iso
from service.access.callers import is_loopback
from service.alerts.machine import Finding, RuleEvent, RuleState
from service.alerts.rule import SUM, AlertRule
from service.schemas.rules import Language

EVERYWHERE: Final = ("0.0.0.0", "::")  # nosec B104: compared with, never bound to
"""Addresses that stand for all of a machine; they lead nowhere."""

ENOUGH: Final = 10
"""Alerts with a known outcome from which a rule has a record of its own; else that of all rules of its quantity."""

NAMES: Final[Mapping[Language, Mapping[str, str]]] = {
    "en": {
        "rate": "rain of {threshold} mm/h or more",
        SUM: "{threshold} mm of rain or more within 60 minutes",
        "start": "rain begins",
        "end": "the rain ends",
    },
    "de": {
        "rate": "Regen ab {threshold} mm/h",
        SUM: "{threshold} mm Regen oder mehr in 60 Minuten",
        "start": "Regenbeginn",
        "end": "Regenende",
    },
}
SENTENCES: Final[Mapping[Language, Mapping[str, str]]] = {
    "en": {
        "raised": "{name}: {what}, expected {when} with a probability of {percent} %.",
        "updated": "{name}: the forecast has changed: {what}, expected {when} with a probability of {percent} %.",
        "over": "{name}: {what}: over.",
        "over_start": "{name}: the beginning of rain is not expected any more.",
        "over_end": "{name}: the end of the rain is not expected any more.",
        "over_end_seen": "{name}: the rain has ended.",
        "stale": "{name}: {what}: we do not know any more, since no new radar data arrive. The alert is cancelled.",
        "no_data": "{name}: {what}: we do not know any more, since no radar observes the area. The alert is cancelled.",
        "rule_changed": "{name}: the rule was changed. The alert is cancelled.",
        "key_revoked": "{name}: the rule is not evaluated any more, since its API key was revoked. The alert is "
        "cancelled.",
        "test": "{name}: this is a test message.",
        "now": "now",
        "at": "at {time}",
        "by": "by {time}",
        "record": "Of {alerts} such alerts {hits} were right.",
        "no_record": "There is no record of such alerts yet.",
    },
    "de": {
        "raised": "{name}: {what}, erwartet {when} mit einer Wahrscheinlichkeit von {percent} %.",
        "updated": "{name}: Die Vorhersage hat sich geändert: {what}, erwartet {when} mit einer Wahrscheinlichkeit von "
        "{percent} %.",
        "over": "{name}: {what}: vorbei.",
        "over_start": "{name}: Regenbeginn wird nicht mehr erwartet.",
        "over_end": "{name}: Regenende wird nicht mehr erwartet.",
        "over_end_seen": "{name}: Der Regen ist zu Ende.",
        "stale": "{name}: {what}: Wir wissen es nicht mehr, da neue Radardaten fehlen. Die Warnung ist zurückgenommen.",
        "no_data": "{name}: {what}: Wir wissen es nicht mehr, da kein Radar das Gebiet beobachtet. Die Warnung ist "
        "zurückgenommen.",
        "rule_changed": "{name}: Die Regel wurde geändert. Die Warnung ist zurückgenommen.",
        "key_revoked": "{name}: Die Regel wird nicht mehr geprüft, da ihr API-Schlüssel widerrufen ist. Die Warnung "
        "ist zurückgenommen.",
        "test": "{name}: Dies ist eine Probe.",
        "now": "jetzt",
        "at": "um {time}",
        "by": "bis {time}",
        "record": "Von {alerts} solchen Warnungen trafen {hits} zu.",
        "no_record": "Noch ist nicht bekannt, wie oft solche Warnungen zutreffen.",
    },
}


@dataclass(frozen=True)
class Record:
    """Outcomes of past alerts.

    Attributes:
        of: rule, or quantity: all rules of the same one.
    """

    alerts: int
    hits: int
    of: str


def event_id_of(event: RuleEvent) -> str:
    """Return the id of an event: the same in any process."""
    return str(uuid5(NAMESPACE_URL, f"event:{event.alert_id}:{event.kind}:{event.time.isoformat()}"))


def record_of(state: RuleState, pooled: Mapping[str, tuple[int, int]], rule: AlertRule) -> Record | None:
    """Return the record to show with an alert; None before there are enough outcomes.

    Args:
        state: of the rule.
        pooled: alerts and hits of all rules by quantity.
        rule: whose record.
    """
    own = state.hits + state.false_alarms
    if own >= ENOUGH:
        return Record(own, state.hits, "rule")
    alerts, hits = pooled.get(rule.quantity, (0, 0))
    return Record(alerts, hits, "quantity") if alerts >= ENOUGH else None


def document_of(
    rule: AlertRule, event: RuleEvent, found: Finding | None, record: Record | None, basis: str | None
) -> dict[str, Any]:
    """Return the document of an event; it has the rule's name and no coordinates.

    Args:
        rule: whose event.
        event: which one.
        found: the conditions behind it; None where it rests on none.
        record: of past alerts.
        basis: what the probability comes from: probabilities, or rates, which make 0 and 1 of it.
    """
    return {
        "event_id": event_id_of(event),
        "event": event.kind,
        "reason": event.reason,
        "rule_id": rule.id,
        "revision": rule.revision,
        "name": rule.name,
        "alert_id": event.alert_id,
        "quantity": rule.quantity,
        "threshold": rule.threshold,
        "unit": "mm" if rule.quantity == SUM else "mm/h",
        "reference_time": iso(event.time),
        "probability": None if found is None or found.probability is None else round(found.probability, 4),
        "basis": basis,
        "expected_at": iso(found.expected_at) if found and found.expected_at else None,
        "peak_mmh": None if found is None or found.peak_mmh is None else round(found.peak_mmh, 2),
        "record": vars(record).copy() if record else None,
        "region": rule.area[1] if rule.area[0] == "region" else None,
        "is_public": rule.is_public,
        "valid_until": iso(event.time + timedelta(minutes=rule.lead_to)),
        "language": rule.language,
        "message": sentence(rule, event, found, record),
    }


def sentence(rule: AlertRule, event: RuleEvent, found: Finding | None, record: Record | None) -> str:
    """Return the message in the language of the rule."""
    words = SENTENCES[rule.language]
    what = NAMES[rule.language][rule.quantity].format(threshold=f"{rule.threshold:g}")
    kind: str = event.kind if event.kind in ("raised", "updated") else event.reason
    if kind == "over" and rule.quantity in ("start", "end"):  # neither of them lasts
        kind = f"over_{rule.quantity}" + ("_seen" if rule.quantity == "end" and found and found.seen else "")
    percent = round(100 * found.probability) if found and found.probability is not None else 0
    text = words[kind].format(name=rule.name, what=what, when=_when(rule, found), percent=percent)
    if event.kind != "raised":
        return text
    closing = words["record"].format(**vars(record)) if record else words["no_record"]
    return f"{text} {closing}"


def _when(rule: AlertRule, found: Finding | None) -> str:
    words = SENTENCES[rule.language]
    if rule.quantity == SUM and found and found.expected_at:  # of the hour until then, whatever fell before
        return words["by"].format(time=_local(rule, found.expected_at))
    if found is None or found.expected_at is None or (found.seen and rule.quantity != "end"):
        return words["now"]
    return words["at"].format(time=_local(rule, found.expected_at))


def _local(rule: AlertRule, time: datetime) -> str:
    tz = rule.quiet[2] if rule.quiet else "UTC"
    return f"{time.astimezone(ZoneInfo(tz)):%H:%M %Z}"


def service_address(settings: Settings) -> str | None:
    """Return the address of the service in messages, without a slash at its end; None where receivers reach none.

    The address on which it listens is one of theirs only where it names one machine: loopback is their own.
    """
    if settings.public_url:
        return settings.public_url.rstrip("/")
    host = settings.host
    if is_loopback(host) or host in EVERYWHERE:
        return None
    return f"http://{f'[{host}]' if ':' in host else host}:{settings.port}"


def required_address(settings: Settings, why: str) -> str:
    """Return the address of the service in messages that need links to it.

    Raises:
        ConfigError: there is none that receivers reach.
    """
    address = service_address(settings)
    if address is None:
        raise ConfigError(f"NOWCAST_PUBLIC_URL: expected the address at which {why}, got none")
    return address
