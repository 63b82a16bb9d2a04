"""Events of alerts, and their messages, entered in one transaction: neither is there without the other."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from uuid import NAMESPACE_URL, uuid5

from sqlalchemy import Connection, Engine, func, insert, select

from ingest.store.database import reading
from service.alerts.machine import RuleEvent
from service.alerts.rule import AlertRule
from service.alerts.tables import DeliveryRow, RuleEventRow


@dataclass(frozen=True)
class NewEvent:
    """An event that has just happened, with its document."""

    rule: AlertRule
    event: RuleEvent
    document: Mapping[str, Any]


def enter_events(connection: Connection, found: Sequence[NewEvent], now: datetime) -> None:
    """Enter events and one message to each target of their rules; called within a transaction that writes."""
    if not found:
        return
    connection.execute(insert(RuleEventRow), [_event_row(each, now) for each in found])
    last = int(connection.scalar(select(func.max(DeliveryRow.number))) or 0)
    pairs = [(each, target) for each in found for target in range(len(each.rule.targets))]
    rows = [_delivery_row(each, target, last + count, now) for count, (each, target) in enumerate(pairs, 1)]
    if rows:
        connection.execute(insert(DeliveryRow), rows)


def events_of(engine: Engine, rule_id: str, limit: int) -> list[dict[str, Any]]:
    """Return the documents of the newest events of a rule."""
    row = RuleEventRow
    newest = select(row.document).where(row.rule_id == rule_id)
    with reading(engine) as connection:
        found = connection.scalars(newest.order_by(row.reference_time.desc(), row.created_at.desc()).limit(limit))
        return [dict(each) for each in found]


def _event_row(each: NewEvent, now: datetime) -> dict[str, Any]:
    return {
        "id": each.document["event_id"],
        "rule_id": each.rule.id,
        "alert_id": each.event.alert_id,
        "kind": each.event.kind,
        "reference_time": each.event.time,
        "created_at": now,
        "document": dict(each.document),
    }


def _delivery_row(each: NewEvent, target: int, number: int, now: datetime) -> dict[str, Any]:
    return {
        "id": str(uuid5(NAMESPACE_URL, f"delivery:{each.document['event_id']}:{target}")),
        "event_id": each.document["event_id"],
        "rule_id": each.rule.id,
        "target": target,
        "receiver": dict(each.rule.targets[target]),
        "number": number,
        "state": "waiting",
        "attempts": 0,
        "next_at": now,
        "created_at": now,
        "ended_at": None,
        "problem": None,
    }
