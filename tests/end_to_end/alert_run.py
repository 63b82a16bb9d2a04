"""A run of the whole service with rules, while parts of it are killed, and what is counted and compared afterwards."""

import json
import os
import random
import signal
import threading
import time
from collections import Counter, defaultdict
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import Engine, select

from ingest.store.database import open_engine, reading
from ingest.store.tables import Base
from service.alerts.cells import AreaCells
from service.alerts.regions import Regions
from service.alerts.rule import AlertRule
from service.alerts.tables import DeliveryRow, EvaluationRow, RuleEventRow, RuleRow, RuleStateRow
from service.forecasts.catalogue import Catalogue
from service.forecasts.records import StoredForecast
from tests.end_to_end.receivers import Accepted
from tests.end_to_end.stack import Stack
from tests.service.alerts.playing import PlainRule, fields_of_file, frames_of

BACK_WITHIN_S = 300.0
PAUSE_S = 0.5


def home_of(stack: Stack) -> Path:
    """The live store of a running stack: a replay has a folder of its own."""
    (home,) = (path.parent for path in (stack.home / "var").rglob("catalogue.sqlite"))
    return home


@dataclass(frozen=True)
class Records:
    """What a service has stored, read from outside: its forecasts, and the database of its rules."""

    catalogue: Catalogue
    rules: Engine


def records_of(stack: Stack) -> Records:
    home = home_of(stack)
    return Records(Catalogue(home), open_engine(f"sqlite:///{home / 'rules.sqlite'}"))


def post_rules(
    post: Callable[[Mapping[str, Any]], tuple[int, bytes]],
    sent: Sequence[Mapping[str, Any]],
    targets: Sequence[Mapping[str, Any]],
) -> list[str]:
    """Create rules with these receivers; their ids.

    Args:
        post: sends a rule and returns status and body.
        sent: the rules.
        targets: receivers of each.
    """
    ids = []
    for one in sent:
        status, body = post({**one, "targets": list(targets)})
        assert status == 201, body
        ids.append(json.loads(body)["rule_id"])
    return ids


@dataclass
class Killer:
    """Kills parts of a stack at random moments from a thread, each once the one before it runs again and all go on.

    Attributes:
        progress: changes when the service has done something since, such as a forecast.
    """

    stack: Stack
    parts: Sequence[str]
    pause_s: tuple[float, float]
    most: int
    progress: Callable[[], object]
    seed: int = 2026
    killed: Counter[str] = field(default_factory=Counter)
    problem: BaseException | None = None

    def __post_init__(self) -> None:
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._work, daemon=True)

    def start(self) -> None:
        self._thread.start()

    def stop(self) -> None:
        self._stop.set()
        self._thread.join()
        if self.problem is not None:
            raise self.problem

    @property
    def is_done(self) -> bool:
        return not self._thread.is_alive()

    def _kill(self, part: str) -> int:
        pid = self.stack.wait_until(lambda: self.stack.parts().get(part), part, BACK_WITHIN_S) or 0
        os.kill(pid, signal.SIGKILL)
        return pid

    def _await_another(self, part: str, killed: int) -> None:
        self.stack.wait_until(lambda: self.stack.parts().get(part, killed) != killed, f"another {part}", BACK_WITHIN_S)
        before = self.progress()
        while self.progress() == before and not self._stop.is_set():
            time.sleep(PAUSE_S)

    def _work(self) -> None:
        chance = random.Random(self.seed)
        try:
            for kill in range(self.most):
                if self._stop.wait(chance.uniform(*self.pause_s)):
                    return
                part = self.parts[kill] if kill < len(self.parts) else chance.choice(self.parts)
                killed = self._kill(part)
                self.killed[part] += 1
                self._await_another(part, killed)
        except BaseException as err:  # raised again by `stop`, in the thread of the test
            self.problem = err


def rows_of(records: Records, model: type[Base], *columns: Any) -> list[Any]:
    """All rows of a table of rules, or some of their columns."""
    with reading(records.rules) as connection:
        return list(connection.execute(select(*columns) if columns else select(model.__table__)))


def open_messages(records: Records) -> int:
    return sum(row.state in ("waiting", "sending") for row in rows_of(records, DeliveryRow, DeliveryRow.state))


def evaluated(records: Records, part: str) -> dict[datetime, str]:
    """Id of the forecast with which the rules of a part were evaluated, by reference time."""
    columns = (EvaluationRow.reference_time, EvaluationRow.part, EvaluationRow.forecast_id)
    return {
        row.reference_time: row.forecast_id for row in rows_of(records, EvaluationRow, *columns) if row.part == part
    }


def is_settled(records: Records, newest: Callable[[], datetime | None]) -> bool:
    """Whether the rules were evaluated with the newest forecast, and no message waits."""
    last = newest()
    done = last is not None and all(last in evaluated(records, part) for part in ("rates", "sums"))
    time.sleep(PAUSE_S)
    return done and open_messages(records) == 0


def settle(stack: Stack, records: Records, newest: Callable[[], datetime | None], within_s: float) -> None:
    """Wait until all is done with the newest forecast."""
    stack.wait_until(lambda: is_settled(records, newest), "end of all messages", within_s)


def scheduled(records: Records, model: str = "default") -> list[StoredForecast]:
    """The scheduled forecasts of the model, ascending."""
    found = records.catalogue.select(origin="scans", limit=100_000)
    return sorted((one for one in found if one.requested_model == model), key=lambda one: one.reference_time)


def assert_delivered_once(records: Records, received: Mapping[str, Accepted]) -> dict[str, Any]:
    """Every event is at every receiver once, in the order of its rule; the numbers.

    Args:
        records: of the service.
        received: by kind of target.
    """
    deliveries = rows_of(records, DeliveryRow)
    events = {row.id: row for row in rows_of(records, RuleEventRow)}
    assert Counter(row.state for row in deliveries) == {"sent": len(deliveries)}
    assert len(deliveries) == len(events) * len(received)
    counts: dict[str, Any] = {"events": len(events), "kinds": dict(Counter(row.kind for row in events.values()))}
    for kind, accepted in received.items():
        expected = {row.id for row in deliveries if row.receiver["kind"] == kind}
        assert set(accepted.documents) == expected, f"{kind}: lost or invented messages"
        of_rules: dict[str, list[int]] = defaultdict(list)
        for document in accepted.documents.values():
            event = events[document["event_id"]]
            assert (event.kind, event.rule_id) == (document["event"], document["rule_id"])
            of_rules[event.rule_id].append(event.number)
        assert all(numbers == sorted(numbers) for numbers in of_rules.values()), f"{kind}: order"
        copies = sum(accepted.copies.values())
        counts[kind] = {"accepted": len(expected), "copies": copies, "refused": accepted.refused}
    return counts


def assert_events_are_those_of_a_plain_script(
    records: Records, sent: Mapping[str, Mapping[str, Any]]
) -> dict[str, Any]:
    """Events and outcomes of all rules against `PlainRule` on the stored files; the numbers.

    Args:
        records: of the service.
        sent: the rules by id, from the first evaluated forecast on.
    """
    forecasts = {one.id: one for one in scheduled(records)}
    times = evaluated(records, "rates")
    assert times == evaluated(records, "sums")
    assert set(times) == {one.reference_time for one in forecasts.values()}, "a forecast was left out"
    grid = next(iter(forecasts.values())).grid
    cells = AreaCells(Regions())
    plain = {}
    for row in rows_of(records, RuleRow):
        rule = AlertRule.of(row.id, row.revision, row.definition)
        (found,) = cells.of(grid, {rule.area_key: rule.area})
        plain[row.id] = PlainRule(sent[row.id], [divmod(int(cell), grid.width) for cell in found])
    for at, forecast_id in sorted(times.items()):
        fields, window = fields_of_file(forecasts[forecast_id]), frames_of(forecasts[forecast_id])
        for one in plain.values():
            one.look(at, fields, window)
    happened: dict[str, list[tuple[str, datetime]]] = defaultdict(list)
    for row in sorted(rows_of(records, RuleEventRow), key=lambda row: row.number):
        happened[row.rule_id].append((row.kind, row.reference_time))
    for rule_id, one in plain.items():
        assert happened.get(rule_id, []) == one.events, sent[rule_id]
    for state in rows_of(records, RuleStateRow):
        counted = (state.hits, state.false_alarms, state.unknown, state.misses)
        expected = plain[state.rule_id].outcomes
        assert counted == tuple(expected[name] for name in ("hit", "false_alarm", "unknown", "miss")), sent[
            state.rule_id
        ]
        assert state.lead_gained_minutes == pytest.approx(plain[state.rule_id].gained)
    outcomes = Counter[str]()
    for one in plain.values():
        outcomes.update(one.outcomes)
    return {
        "forecasts": len(times),
        "from": str(min(times)),
        "to": str(max(times)),
        "rules": len(plain),
        "rules_with_events": sum(bool(one.events) for one in plain.values()),
        "outcomes": dict(outcomes),
    }


def assert_announced(arrivals: Accepted, forecasts: Sequence[StoredForecast]) -> dict[str, int]:
    """Each forecast has its WIS2 notification, and nothing else has one; the numbers."""
    announced = {one["properties"]["data_id"].rpartition("_")[2] for one in arrivals.documents.values()}
    assert announced == {one.id for one in forecasts}
    return {"accepted": len(arrivals.documents), "copies": sum(arrivals.copies.values())}
