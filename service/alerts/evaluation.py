"""All rules with one forecast: conditions, events, outcomes of earlier alerts, entered in one transaction."""

import math
from collections import defaultdict
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from time import perf_counter
from typing import Any, Final, Literal

from sqlalchemy import Connection, bindparam, insert, select, update
from sqlalchemy.dialects import postgresql, sqlite

from ingest.store.database import reading, upsert, writing
from service.alerts.cells import AreaCells
from service.alerts.conditions import Conditions, RuleArrays, conditions_of
from service.alerts.events import NewEvent, enter_events
from service.alerts.machine import Finding, Reason, RuleEvent, RuleState, cancel, step
from service.alerts.messages import document_of, record_of
from service.alerts.outcomes import RaisedAlert, add_outcomes, counted, follow, read_open
from service.alerts.rule import SUM, AlertRule
from service.alerts.rulebook import RuleBook, read_states
from service.alerts.tables import AlertRow, EvaluationRow, RuleRow, RuleStateRow
from service.alerts.values import AreaValues, area_values
from service.forecasts.records import StoredForecast

Part = Literal["rates", "sums"]
"""Sums are evaluated apart, once the ensemble members of the forecast are made."""

IDS_AT_ONCE: Final = 500


@dataclass
class RuleChanges:
    """What an evaluation changes.

    Attributes:
        states: by rule.
        raised: alerts that are new.
        followed: earlier alerts, after this scan.
        ended: time of the end of alerts.
        events: of all rules.
    """

    states: dict[str, RuleState] = field(default_factory=dict)
    raised: list[RaisedAlert] = field(default_factory=list)
    followed: list[RaisedAlert] = field(default_factory=list)
    ended: dict[str, datetime] = field(default_factory=dict)
    events: list[NewEvent] = field(default_factory=list)


@dataclass(frozen=True)
class Evaluated:
    """One evaluation: number of rules and events, and its time."""

    rules: int
    events: int
    seconds: float


def evaluate(
    book: RuleBook,
    forecast: StoredForecast,
    cells: AreaCells,
    part: Part,
    now: datetime,
    without_owners: Sequence[str] = (),
) -> Evaluated | None:
    """Evaluate all rules with a forecast; None where this was done before, by any process.

    Args:
        book: of the rules.
        forecast: which one.
        cells: of the areas.
        part: sums, or all other rules.
        now: time of the service's clock, for quiet hours.
        without_owners: whose rules are left out.
    """
    began = perf_counter()
    rules = [rule for rule in book.rules(without_owners) if (rule.quantity == SUM) == (part == "sums")]
    with reading(book.engine) as connection:
        states, alerts = read_states(connection), read_open(connection)
    findings, basis = find(rules, forecast, cells)
    changes = _advance(rules, states, alerts, findings, basis, now)
    with writing(book.engine) as connection:
        seconds = perf_counter() - began
        if not enter_evaluation(connection, forecast, part, len(rules), seconds):
            return None
        entered = _enter(connection, rules, changes)
    return Evaluated(len(rules), entered, perf_counter() - began)


def find(rules: Sequence[AlertRule], forecast: StoredForecast, cells: AreaCells) -> tuple[list[Finding], str]:
    """Return the conditions of rules in a forecast, and what their probabilities come from."""
    if not rules:
        return [], "probabilities"
    areas = {rule.area_key: rule.area for rule in rules}
    index_of = {key: index for index, key in enumerate(areas)}
    area_of = [index_of[rule.area_key] for rule in rules]
    thresholds: dict[float, set[int]] = defaultdict(set)
    for rule, area in zip(rules, area_of, strict=True):
        if rule.quantity != SUM:
            thresholds[rule.threshold].add(area)
    sums = sorted({rule.threshold for rule in rules if rule.quantity == SUM})
    wanted = {mmh: sorted(some) for mmh, some in sorted(thresholds.items())}
    values = area_values(forecast, cells.of(forecast.grid, areas), wanted, sums)
    arrays = RuleArrays.of(rules, area_of)
    return _findings(forecast.reference_time, conditions_of(arrays, values)), _basis(values, bool(sums))


def cancel_all(
    book: RuleBook, now: datetime, time: datetime, reason: Reason = "stale", owners: Collection[str] | None = None
) -> int:
    """Cancel every alert that is raised now; in quiet hours that waits. Return the number.

    Args:
        book: of the rules.
        now: time of the service's clock.
        time: reference time of the newest forecast.
        reason: why.
        owners: whose alerts; None: everybody's.
    """
    rules = {rule.id: rule for rule in book.rules(owners=owners)}
    with writing(book.engine) as connection:
        changes = RuleChanges()
        for before in read_states(connection).values():
            rule = rules.get(before.rule_id)
            state, event = cancel(before, reason, time)
            if rule is None or event is None or rule.is_quiet(now):
                continue
            changes.states[rule.id], changes.ended[event.alert_id] = state, now
            changes.events.append(NewEvent(rule, event, document_of(rule, event, None, None, None)))
        return _enter(connection, list(rules.values()), changes)


def _basis(values: AreaValues, sums: bool) -> str:
    return "probabilities" if (values.sums_are_calibrated if sums else values.is_calibrated) else "rates"


def _findings(time: datetime, found: Conditions) -> list[Finding]:
    """Return the conditions rule by rule."""
    columns = (
        found.probability_N.tolist(),
        found.expected_minutes_N.tolist(),
        found.peak_N.tolist(),
        *(column.tolist() for column in (found.starts_N, found.holds_N, found.known_N, found.seen_N, found.begins_N)),
    )
    return [
        Finding(
            time,
            None if math.isnan(probability) else probability,
            None if minutes < 0 else time + timedelta(minutes=minutes),
            None if math.isnan(peak) else peak,
            *flags,
        )
        for probability, minutes, peak, *flags in zip(*columns, strict=True)
    ]


def _advance(
    rules: Sequence[AlertRule],
    states: Mapping[str, RuleState],
    alerts: Mapping[str, Sequence[RaisedAlert]],
    findings: Sequence[Finding],
    basis: str,
    now: datetime,
) -> RuleChanges:
    """Return the next state of every rule that changes, and its event and outcomes."""
    pooled = counted(rules, states)
    changes = RuleChanges()
    for rule, found in zip(rules, findings, strict=True):
        before = states.get(rule.id, RuleState(rule.id))
        quiet = rule.is_quiet(now)
        state, event = step(rule, before, found, quiet=quiet)
        earlier = [follow(rule, alert, found) for alert in alerts.get(rule.id, ())]
        raised = [follow(rule, RaisedAlert.new(rule, event, found), found)] if event and event.kind == "raised" else []
        state = add_outcomes(state, earlier + raised, found, missed=before.alert_id is None and not quiet)
        changes.followed += earlier
        changes.raised += raised
        if event is not None:
            changes.events.append(_new_event(rule, event, found, state, pooled, basis))
            if event.kind in ("ended", "cancelled"):
                changes.ended[event.alert_id] = found.time
        if state != before:
            changes.states[rule.id] = state
    return changes


def _new_event(
    rule: AlertRule,
    event: RuleEvent,
    found: Finding,
    state: RuleState,
    pooled: Mapping[str, tuple[int, int]],
    basis: str,
) -> NewEvent:
    record = record_of(state, pooled, rule) if event.kind == "raised" else None
    return NewEvent(rule, event, document_of(rule, event, found, record, basis))


def enter_evaluation(
    connection: Connection, forecast: StoredForecast, part: str, rules: int = 0, seconds: float = 0.0
) -> bool:
    """Enter that a part was done with a forecast; return False where that is there already."""
    insert_into = postgresql.insert if connection.dialect.name == "postgresql" else sqlite.insert
    row: dict[str, Any] = {
        "reference_time": forecast.reference_time,
        "part": part,
        "forecast_id": forecast.id,
        "evaluated_at": datetime.now(UTC),
        "rules": rules,
        "seconds": seconds,
    }
    entered = insert_into(EvaluationRow).values(**row).on_conflict_do_nothing().returning(EvaluationRow.part)
    return connection.scalar(entered) is not None  # the number of rows of an insert is -1 with psycopg


def _enter(connection: Connection, rules: Sequence[AlertRule], changes: RuleChanges) -> int:
    """Enter the changes of rules that are still the same; one changed or deleted since then keeps its own state."""
    touched = {*changes.states, *(alert.rule_id for alert in changes.followed)}
    fresh = _unchanged(connection, {rule.id: rule.revision for rule in rules if rule.id in touched})
    states = [vars(state) for rule_id, state in changes.states.items() if rule_id in fresh]
    for start in range(0, len(states), IDS_AT_ONCE):
        connection.execute(upsert(RuleStateRow, states[start : start + IDS_AT_ONCE], connection.dialect.name))
    created = [alert.row() for alert in changes.raised if alert.rule_id in fresh]
    if created:
        connection.execute(insert(AlertRow), created)
    by_id = update(AlertRow).where(AlertRow.id == bindparam("alert"))
    followed = [alert for alert in changes.followed if alert.rule_id in fresh]
    if followed:
        connection.execute(by_id, [{"alert": alert.id, **_outcome(alert)} for alert in followed])
    events = [each for each in changes.events if each.rule.id in fresh]
    ended = [{"alert": alert, "ended_at": time} for alert, time in changes.ended.items()]
    if ended:
        connection.execute(by_id, ended)
    enter_events(connection, events, datetime.now(UTC))  # their age counts by the wall clock, also in a replay
    return len(events)


def _outcome(alert: RaisedAlert) -> dict[str, Any]:
    return {name: getattr(alert, name) for name in ("outcome", "lead_gained_minutes", "looked", "observed")}


def _unchanged(connection: Connection, revisions: Mapping[str, int]) -> set[str]:
    """Return which rules still have the revision with which they were evaluated."""
    ids = list(revisions)
    found: dict[str, int] = {}
    for start in range(0, len(ids), IDS_AT_ONCE):
        some = select(RuleRow.id, RuleRow.revision).where(RuleRow.id.in_(ids[start : start + IDS_AT_ONCE]))
        found.update({row.id: row.revision for row in connection.execute(some)})
    return {rule_id for rule_id, revision in revisions.items() if found.get(rule_id) == revision}
