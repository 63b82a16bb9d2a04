"""From the conditions of a rule to its events: raised, updated, ended, cancelled."""

from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Final, Literal
from uuid import NAMESPACE_URL, uuid5

from service.alerts.rule import SUM, AlertRule
from service.schemas.rules import EventKind

Reason = Literal["condition", "change", "over", "stale", "no_data", "rule_changed", "key_revoked"]
UPDATE_AFTER: Final = timedelta(minutes=10)
"""Shortest time between the last event of an alert and an update."""

MOVED: Final = timedelta(minutes=15)
"""Change of the expected time that is worth an update."""

MORE_LIKELY: Final = 0.2
"""Change of the probability that is worth an update."""

LEAST_PATIENCE: Final = timedelta(minutes=10)
"""Shortest time without data after which an alert is cancelled."""


@dataclass(frozen=True)
class RuleState:
    """What is known of a rule; the columns of `RuleStateRow`."""

    rule_id: str
    alert_id: str | None = None
    raised_at: datetime | None = None
    last_held_at: datetime | None = None
    last_event_at: datetime | None = None
    expected_at: datetime | None = None
    probability: float | None = None
    hits: int = 0
    false_alarms: int = 0
    misses: int = 0
    unknown: int = 0
    lead_gained_minutes: float = 0.0

    def without_alert(self) -> "RuleState":
        """Return the state after the end of the alert."""
        return replace(
            self,
            alert_id=None,
            raised_at=None,
            last_held_at=None,
            last_event_at=None,
            expected_at=None,
            probability=None,
        )


@dataclass(frozen=True)
class Finding:
    """The conditions of one rule at one reference time; see `Conditions`."""

    time: datetime
    probability: float | None
    expected_at: datetime | None
    peak_mmh: float | None
    starts: bool
    holds: bool
    known: bool
    seen: bool
    begins: bool


@dataclass(frozen=True)
class RuleEvent:
    """One event of an alert."""

    kind: EventKind
    reason: Reason
    alert_id: str
    time: datetime


def alert_id_of(rule: AlertRule, time: datetime) -> str:
    """Return the id of the alert that a rule raises at a time: the same in any process."""
    return str(uuid5(NAMESPACE_URL, f"alert:{rule.id}:{rule.revision}:{time.isoformat()}"))


def step(rule: AlertRule, state: RuleState, found: Finding, *, quiet: bool) -> tuple[RuleState, RuleEvent | None]:
    """Return the next state of a rule, and the event on the way there.

    In quiet hours no event happens: what lasts until their end is raised, or ended, then.
    """
    if state.alert_id is None:
        if not found.starts or quiet:
            return state, None
        event = RuleEvent("raised", "condition", alert_id_of(rule, found.time), found.time)
        return _noted(replace(state, alert_id=event.alert_id, raised_at=found.time), found), event
    if found.holds:
        held = replace(state, last_held_at=found.time)
        if quiet or not _differs(rule, state, found):
            return held, None
        return _noted(held, found), RuleEvent("updated", "change", state.alert_id, found.time)
    if quiet:
        return state, None
    silent = found.time - (state.last_held_at or found.time)
    dry = timedelta(minutes=rule.dry_minutes)
    if found.probability is None and not found.known:
        if silent < max(dry, LEAST_PATIENCE):
            return state, None
        return state.without_alert(), RuleEvent("cancelled", "no_data", state.alert_id, found.time)
    if silent < dry:
        return state, None
    return state.without_alert(), RuleEvent("ended", "over", state.alert_id, found.time)


def cancel(state: RuleState, reason: Reason, time: datetime) -> tuple[RuleState, RuleEvent | None]:
    """Return the state without an alert, and its cancellation; None where there is no alert."""
    if state.alert_id is None:
        return state, None
    return state.without_alert(), RuleEvent("cancelled", reason, state.alert_id, time)


def _noted(state: RuleState, found: Finding) -> RuleState:
    """Return the state with what the message of now says."""
    return replace(
        state,
        last_held_at=found.time,
        last_event_at=found.time,
        expected_at=found.expected_at,
        probability=found.probability,
    )


def _differs(rule: AlertRule, state: RuleState, found: Finding) -> bool:
    """Return whether the forecast has changed since the last message so that a further one is worth it.

    The end of the hour of a sum moves on with every forecast, which is no change.
    """
    if state.last_event_at is None or found.time - state.last_event_at < UPDATE_AFTER:
        return False
    are_known = found.probability is not None and state.probability is not None
    # 1e-6: probabilities of a file have steps of 0.005, in 32 bits
    if are_known and abs((found.probability or 0) - (state.probability or 0)) >= MORE_LIKELY - 1e-6:
        return True
    if (
        rule.quantity == SUM
        or found.expected_at is None
        or state.expected_at is None
        or state.expected_at <= found.time
    ):
        return False
    return abs(found.expected_at - state.expected_at) >= MOVED
