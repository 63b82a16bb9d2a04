"""Events of alerts entered by hand, and the outbox with its times set back."""

from datetime import UTC, datetime, timedelta

from sqlalchemy import update

from ingest.store.database import writing
from service.alerts.events import NewEvent, enter_events
from service.alerts.machine import Finding, Reason, RuleEvent
from service.alerts.messages import document_of
from service.alerts.rulebook import RuleBook
from service.alerts.tables import DeliveryRow
from service.schemas.rules import EventKind

NOW = datetime(2024, 6, 1, 12, tzinfo=UTC)
REASONS: dict[EventKind, Reason] = {"raised": "condition", "updated": "change", "ended": "over", "cancelled": "stale"}


def happen(
    book: RuleBook, rule_id: str, *kinds: EventKind, now: datetime | None = None, first: datetime = NOW
) -> list[str]:
    """Enter events of one alert, one after the other; their ids."""
    rule, found = book.get(rule_id).rule, []
    for index, kind in enumerate(kinds):
        time = first + timedelta(minutes=index)
        event = RuleEvent(kind, REASONS[kind], f"alert of {rule_id}"[:36], time)
        finding = Finding(time, 0.7, time + timedelta(minutes=30), 3.0, True, True, True, False, False)
        document = document_of(rule, event, finding if kind in ("raised", "updated") else None, None, None)
        with writing(book.engine) as connection:
            enter_events(connection, [NewEvent(rule, event, document)], now or datetime.now(UTC))
        found.append(str(document["event_id"]))
    return found


def again(book: RuleBook) -> None:
    """Let the time of every next attempt come."""
    with writing(book.engine) as connection:
        connection.execute(update(DeliveryRow).values(next_at=datetime.now(UTC) - timedelta(seconds=1)))
