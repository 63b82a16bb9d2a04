"""How good the alerts are: of one rule, and of all rules of its quantity."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from sqlalchemy import Engine, func, select

from ingest.store.database import reading
from service.alerts.outcomes import RaisedAlert, alerts_of
from service.alerts.rulebook import StoredRule
from service.alerts.tables import RuleRow, RuleStateRow

NEWEST: Final = 100


@dataclass(frozen=True)
class OutcomeCounts:
    """Outcomes of alerts, and events without one.

    Attributes:
        lead_gained_minutes: mean over the hits; None without any.
    """

    hits: int
    false_alarms: int
    misses: int
    unknown: int
    lead_gained_minutes: float | None

    @property
    def alerts(self) -> int:
        """Return the number of alerts whose outcome is known."""
        return self.hits + self.false_alarms


@dataclass(frozen=True)
class RuleVerification:
    """Outcomes of a rule, of all rules of its quantity, and its newest alerts."""

    rule: OutcomeCounts
    pooled: OutcomeCounts
    alerts: Sequence[RaisedAlert]


def verification_of(engine: Engine, stored: StoredRule) -> RuleVerification:
    """Return how good the alerts of a rule are."""
    state, row = stored.state, RuleStateRow
    own = _counts(state.hits, state.false_alarms, state.misses, state.unknown, state.lead_gained_minutes)
    columns = (row.hits, row.false_alarms, row.misses, row.unknown, row.lead_gained_minutes)
    quantity = RuleRow.definition["quantity"].as_string()
    sums = select(*(func.coalesce(func.sum(column), 0) for column in columns)).join(RuleRow, RuleRow.id == row.rule_id)
    with reading(engine) as connection:
        found = tuple(connection.execute(sums.where(quantity == stored.definition["quantity"])).one())
    hits, false_alarms, misses, unknown, gained = found
    pooled = _counts(hits, false_alarms, misses, unknown, gained)
    return RuleVerification(own, pooled, alerts_of(engine, stored.id, NEWEST))


def _counts(hits: float, false_alarms: float, misses: float, unknown: float, gained: float) -> OutcomeCounts:
    return OutcomeCounts(int(hits), int(false_alarms), int(misses), int(unknown), gained / hits if hits else None)
