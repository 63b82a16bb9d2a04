"""How far the work of rules is: rules, raised alerts, waiting messages, and the last forecast that was evaluated."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import Engine, func, select

from ingest.store.database import count, reading
from service.alerts.outbox import OPEN
from service.alerts.tables import DeliveryRow, EvaluationRow, RuleRow, RuleStateRow


@dataclass(frozen=True)
class AlertProgress:
    """The state of the work of rules.

    Attributes:
        rules: stored ones.
        raised: alerts that are raised now.
        messages: of the last 30 days, by state.
        oldest_waiting: time since which the oldest open message waits; None without any.
        evaluated: reference time of the last forecast that was evaluated, by part; those without one are missing.
    """

    rules: int
    raised: int
    messages: Mapping[str, int]
    oldest_waiting: datetime | None
    evaluated: Mapping[str, datetime]


def progress_of(engine: Engine) -> AlertProgress:
    """Return how far the work of rules is."""
    message, evaluation = DeliveryRow, EvaluationRow
    states = select(message.state, func.count()).group_by(message.state)
    oldest = select(func.min(message.created_at)).where(message.state.in_(OPEN))
    newest = select(evaluation.part, func.max(evaluation.reference_time)).group_by(evaluation.part)
    raised = select(func.count()).where(RuleStateRow.alert_id.is_not(None))
    with reading(engine) as connection:
        return AlertProgress(
            count(connection, RuleRow),
            int(connection.scalar(raised) or 0),
            {state: int(number) for state, number in connection.execute(states)},
            connection.scalar(oldest),
            {row[0]: row[1] for row in connection.execute(newest)},
        )
