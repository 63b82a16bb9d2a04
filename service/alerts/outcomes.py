"""Outcomes of alerts: hit, false alarm or unknown, by the scans of later forecasts; events without alert are misses."""

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields, replace
from datetime import datetime, timedelta
from typing import Any, Literal

from sqlalchemy import Connection, Engine, select

from ingest.store.database import reading
from service.alerts.machine import Finding, RuleEvent, RuleState
from service.alerts.rule import AlertRule
from service.alerts.tables import AlertRow

Outcome = Literal["open", "hit", "false_alarm", "unknown"]


@dataclass(frozen=True)
class RaisedAlert:
    """One alert; the columns of `AlertRow`."""

    id: str
    rule_id: str
    raised_at: datetime
    probability: float
    ended_at: datetime | None = None
    outcome: Outcome = "open"
    lead_gained_minutes: float | None = None
    looked: int = 0
    observed: int = 0

    @classmethod
    def new(cls, rule: AlertRule, event: RuleEvent, found: Finding) -> "RaisedAlert":
        """Return the alert that is raised now."""
        return cls(event.alert_id, rule.id, event.time, found.probability or 0.0)

    def row(self) -> dict[str, Any]:
        """Return all columns."""
        return {field.name: getattr(self, field.name) for field in fields(self)}


def follow(rule: AlertRule, alert: RaisedAlert, found: Finding) -> RaisedAlert:
    """Return an open alert after a further scan.

    It is a hit where a scan from its reference time to the end of its lead window shows the event; of the end of rain,
    where the dry time that proves it began by then. Without a hit it is a false alarm if at least half of the scans
    observed the area, else unknown.
    """
    dry = timedelta(minutes=rule.dry_minutes if rule.quantity == "end" else 0)
    if found.time - dry <= alert.raised_at + timedelta(minutes=rule.lead_to):
        looked, observed = alert.looked + 1, alert.observed + found.known
        if not found.seen:
            return replace(alert, looked=looked, observed=observed)
        gained = max(timedelta(0), found.time - dry - alert.raised_at) / timedelta(minutes=1)
        return replace(alert, outcome="hit", lead_gained_minutes=gained, looked=looked, observed=observed)
    is_known = alert.observed > 0 and 2 * alert.observed >= alert.looked
    return replace(alert, outcome="false_alarm" if is_known else "unknown")


def add_outcomes(state: RuleState, followed: Sequence[RaisedAlert], found: Finding, *, missed: bool) -> RuleState:
    """Return the state with the outcomes that are known now.

    Args:
        state: after the step.
        followed: the open alerts of the rule, after this scan.
        found: the conditions of now.
        missed: no alert was raised before, although one might have been: an event that begins now is a miss.
    """
    kinds = [alert.outcome for alert in followed]
    gained = sum(alert.lead_gained_minutes or 0.0 for alert in followed)
    is_miss = missed and found.begins and not followed and state.alert_id is None
    if not is_miss and all(kind == "open" for kind in kinds):
        return state
    return replace(
        state,
        hits=state.hits + kinds.count("hit"),
        false_alarms=state.false_alarms + kinds.count("false_alarm"),
        unknown=state.unknown + kinds.count("unknown"),
        misses=state.misses + is_miss,
        lead_gained_minutes=state.lead_gained_minutes + gained,
    )


def counted(rules: Sequence[AlertRule], states: Mapping[str, RuleState]) -> dict[str, tuple[int, int]]:
    """Return the alerts with a known outcome, and the hits, of all rules by quantity."""
    sums: dict[str, list[int]] = defaultdict(lambda: [0, 0])
    for rule in rules:
        state = states.get(rule.id)
        if state is not None:
            sums[rule.quantity][0] += state.hits + state.false_alarms
            sums[rule.quantity][1] += state.hits
    return {quantity: (alerts, hits) for quantity, (alerts, hits) in sums.items()}


def read_open(connection: Connection) -> dict[str, list[RaisedAlert]]:
    """Return the alerts whose outcome is not known yet, by rule."""
    found: dict[str, list[RaisedAlert]] = defaultdict(list)
    for row in connection.execute(select(AlertRow.__table__).where(AlertRow.outcome == "open")):
        found[row.rule_id].append(RaisedAlert(*row))
    return found


def alerts_of(engine: Engine, rule_id: str, limit: int) -> list[RaisedAlert]:
    """Return the newest alerts of a rule."""
    newest = select(AlertRow.__table__).where(AlertRow.rule_id == rule_id).order_by(AlertRow.raised_at.desc())
    with reading(engine) as connection:
        return [RaisedAlert(*row) for row in connection.execute(newest.limit(limit))]
