"""The outbox: messages are claimed before they are sent and marked after, so that a crash loses none.

A message whose sender ended in between is sent again after its lease with the same id, which receivers with idempotency
keys take once. Messages of one rule to one target keep their order: an end never arrives before its beginning.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any, Final

from sqlalchemy import ColumnElement, Engine, Select, Subquery, and_, exists, func, or_, select, update
from sqlalchemy.orm import aliased

from core.retry import RetryPolicy
from ingest.store.database import reading, writing
from service.alerts.tables import DeliveryRow, RuleEventRow, RuleRow

OPEN: Final = ("waiting", "sending")
LEASE: Final = timedelta(seconds=60)
"""Time after which a message that was being sent may be sent again; longer than a batch takes."""

RETRY: Final = RetryPolicy(first_wait_s=5.0, longest_wait_s=900.0, longest_retry_after_s=3600.0)
MOST_ATTEMPTS: Final = 12
OLDEST: Final = timedelta(hours=6)
"""Age from which a message is given up: it is about rain that is long over."""

CLOCK_STEP: Final = timedelta(hours=2)
"""A next attempt further ahead than any wait: the clock was set back, and the message is sent now."""

MOST_OPEN: Final = 100
"""Messages of one rule that wait for one target; of more the oldest are given up."""


@dataclass(frozen=True)
class ClaimedDelivery:
    """A message that this process may send now."""

    id: str
    attempts: int
    created_at: datetime
    rule_id: str
    owner: str
    secret: str
    target: dict[str, Any]
    document: dict[str, Any]


@dataclass(frozen=True)
class DeliveryState:
    """One message and where it stands; some columns of `DeliveryRow`."""

    id: str
    event_id: str
    target: int
    state: str
    attempts: int
    next_at: datetime
    created_at: datetime
    ended_at: datetime | None
    problem: str | None


def claim(engine: Engine, limit: int, now: datetime | None = None) -> Sequence[ClaimedDelivery]:
    """Return messages to send now, marked as being sent: no other process gets them within the lease.

    The owners of rules take turns, so that receivers of one that do not answer keep the messages of no other waiting.
    """
    now, row = now or datetime.now(UTC), DeliveryRow
    claimed = []
    with writing(engine) as connection:
        for each in connection.execute(claimable(now, limit)).all():
            mine = update(row).where(row.id == each.id, row.attempts == each.attempts, row.state.in_(OPEN))
            marks = {"state": "sending", "attempts": each.attempts + 1, "next_at": now + LEASE}
            if connection.execute(mine.values(**marks)).rowcount:
                known = (each.id, each.attempts, each.created_at, each.rule_id, each.owner)
                claimed.append(ClaimedDelivery(*known, each.secret, dict(each.receiver), each.document))
    return claimed


def claimable(now: datetime, limit: int) -> Select[Any]:
    """Return the query of the messages to send now.

    PostgreSQL compares a row that another process has just claimed again with the outer conditions alone, so that the
    time is one of them, and leaves those that another process claims now to it.
    """
    row, ready = DeliveryRow, _ready(now)
    return (
        select(row.id, row.attempts, row.created_at, row.rule_id, row.receiver)
        .add_columns(RuleRow.owner, RuleRow.secret, RuleEventRow.document)
        .join(ready, ready.c.id == row.id)
        .join(RuleRow, RuleRow.id == row.rule_id)
        .join(RuleEventRow, RuleEventRow.id == row.event_id)
        .where(_is_ready(now))
        .order_by(ready.c.turn, row.number)
        .limit(limit)
        .with_for_update(of=row, skip_locked=True)
    )


def _is_ready(now: datetime) -> ColumnElement[bool]:
    row = DeliveryRow
    return and_(row.state.in_(OPEN), or_(row.next_at <= now, row.next_at > now + CLOCK_STEP))


def _ready(now: datetime) -> Subquery:
    """Return the messages that may be sent now, and the turn of each among those of its owner."""
    row, earlier = DeliveryRow, aliased(DeliveryRow)
    same = and_(earlier.rule_id == row.rule_id, earlier.target == row.target, earlier.number < row.number)
    turn = func.row_number().over(partition_by=RuleRow.owner, order_by=row.number)
    return (
        select(row.id, turn.label("turn"))
        .join(RuleRow, RuleRow.id == row.rule_id)
        .where(_is_ready(now))
        .where(~exists().where(same, earlier.state.in_(OPEN)))
        .subquery()
    )


def mark_sent(engine: Engine, delivery_id: str) -> None:
    """Mark a message as delivered."""
    _end(engine, delivery_id, "sent", None)


def mark_failed(
    engine: Engine, claimed: ClaimedDelivery, problem: str, *, is_final: bool, retry_after_s: float | None
) -> None:
    """Note a failed attempt: the message is sent again later, or given up."""
    now = datetime.now(UTC)
    attempts = claimed.attempts + 1
    if is_final or attempts >= MOST_ATTEMPTS or abs(now - claimed.created_at) > OLDEST:
        _end(engine, claimed.id, "dead", problem)
        return
    next_at = now + timedelta(seconds=RETRY.wait_s(attempts, retry_after_s))
    found = update(DeliveryRow).where(DeliveryRow.id == claimed.id, DeliveryRow.state == "sending")
    with writing(engine) as connection:
        connection.execute(found.values(state="waiting", next_at=next_at, problem=problem))


def release(engine: Engine, claimed: Sequence[ClaimedDelivery], after_s: float) -> None:
    """Put back messages that were not tried."""
    next_at = datetime.now(UTC) + timedelta(seconds=after_s)
    with writing(engine) as connection:
        for each in claimed:
            found = update(DeliveryRow).where(DeliveryRow.id == each.id, DeliveryRow.state == "sending")
            connection.execute(found.values(state="waiting", attempts=each.attempts, next_at=next_at))


def bound(engine: Engine) -> int:
    """Give up messages that are too old, and the oldest of targets with too many of them; return their number."""
    row, now = DeliveryRow, datetime.now(UTC)
    crowded = select(row.rule_id, row.target, func.count()).where(row.state.in_(OPEN)).group_by(row.rule_id, row.target)
    late = update(row).where(row.state.in_(OPEN), row.next_at <= now, row.created_at < now - OLDEST)
    with writing(engine) as connection:
        count = connection.execute(late.values(state="dead", ended_at=now, problem=f"older than {OLDEST}")).rowcount
        for rule_id, target, number in connection.execute(crowded.having(func.count() > MOST_OPEN)).all():
            mine = select(row.id).where(row.rule_id == rule_id, row.target == target, row.state.in_(OPEN))
            oldest = list(connection.scalars(mine.order_by(row.number).limit(number - MOST_OPEN)))
            ended = {"state": "dead", "ended_at": now, "problem": f"more than {MOST_OPEN} were waiting"}
            count += connection.execute(update(row).where(row.id.in_(oldest)).values(**ended)).rowcount
    return count


def deliveries_of(engine: Engine, rule_id: str, state: str | None, limit: int) -> Sequence[DeliveryState]:
    """Return the newest messages of a rule, of one state or of all."""
    row = DeliveryRow
    columns = (row.id, row.event_id, row.target, row.state, row.attempts, row.next_at, row.created_at, row.ended_at)
    query = select(*columns, row.problem).where(row.rule_id == rule_id).order_by(row.number.desc()).limit(limit)
    query = query if state is None else query.where(row.state == state)
    with reading(engine) as connection:
        return [DeliveryState(*each) for each in connection.execute(query)]


def _end(engine: Engine, delivery_id: str, state: str, problem: str | None) -> None:
    ended = {"state": state, "ended_at": datetime.now(UTC), "problem": problem}
    with writing(engine) as connection:
        connection.execute(update(DeliveryRow).where(DeliveryRow.id == delivery_id).values(**ended))
