"""Events of alerts, and their messages, entered in one transaction: neither is there without the other."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final
from uuid import NAMESPACE_URL, uuid5

from sqlalchemy import Connection, Engine, func, insert, select

from ingest.store.database import reading, upsert
from service.alerts.machine import RuleEvent
from service.alerts.rule import AlertRule
from service.alerts.tables import DeliveryRow, RuleEventRow, RuleRow, SecretRow

NUMBERING: Final = 0x616C7274
"""Key of PostgreSQL's advisory lock of the numbers of events: who reads up to one has all before it."""

LAST_NUMBER: Final = "last_event_number"
"""Name under which the largest number ever is kept: rules are erased with their events, and a stream is past them."""


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
    if connection.dialect.name == "postgresql":  # SQLite has one writer at a time anyway
        connection.execute(select(func.pg_advisory_xact_lock(NUMBERING)))
    before = _last_number(connection)
    rows_of_events = [_event_row(each, before + count, now) for count, each in enumerate(found, 1)]
    connection.execute(insert(RuleEventRow), rows_of_events)
    counted = {"name": LAST_NUMBER, "value": str(before + len(found))}
    connection.execute(upsert(SecretRow, [counted], connection.dialect.name))
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


def events_after(engine: Engine, owner: str | None, number: int, limit: int) -> list[tuple[int, dict[str, Any]]]:
    """Return number and document of the events of an owner's rules (None: of all) after a number, ascending."""
    row = RuleEventRow
    query = select(row.number, row.document).where(row.number > number).order_by(row.number).limit(limit)
    if owner is not None:
        query = query.join(RuleRow, RuleRow.id == row.rule_id).where(RuleRow.owner == owner)
    with reading(engine) as connection:
        return [(each.number, dict(each.document)) for each in connection.execute(query)]


def number_of(engine: Engine, event_id: str | None) -> int:
    """Return the number of an event; without one that of the newest event.

    Of an event that is not stored any more it is 0: what followed it is not known, so that all that is stored follows.
    """
    row = RuleEventRow
    newest = select(func.max(row.number))
    with reading(engine) as connection:
        found = connection.scalar(newest if event_id is None else select(row.number).where(row.id == event_id))
        return int(found or 0)


def _last_number(connection: Connection) -> int:
    """Return the largest number that an event ever had, erased ones included."""
    kept = connection.scalar(select(SecretRow.value).where(SecretRow.name == LAST_NUMBER))
    return max(int(kept or 0), int(connection.scalar(select(func.max(RuleEventRow.number))) or 0))


def _event_row(each: NewEvent, number: int, now: datetime) -> dict[str, Any]:
    return {
        "id": each.document["event_id"],
        "rule_id": each.rule.id,
        "alert_id": each.event.alert_id,
        "kind": each.event.kind,
        "reference_time": each.event.time,
        "created_at": now,
        "number": number,
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
