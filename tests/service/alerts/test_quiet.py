"""Quiet hours, and a rule that is changed while it is evaluated; all that is known of a rule stands in the database."""

from datetime import UTC, datetime, timedelta
from types import SimpleNamespace
from typing import Any

import pytest

from core.settings import Settings
from service.alerts import evaluation
from service.alerts.evaluation import cancel_all
from service.alerts.events import events_of
from service.alerts.machine import Finding
from service.alerts.rulebook import rule_book
from tests.service.alerts.playing import stored

START = datetime(2024, 6, 1, 10, 0, tzinfo=UTC)
STEP = timedelta(minutes=30)
RULE = {"name": "Night", "place": {"lat": 50, "lon": 9}, "quantity": "rate", "threshold": 1.0, "dry_minutes": 0}


class Night:
    """Forecasts one after the other, in some of which it rains at the place of a rule."""

    def __init__(self, settings: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
        self.book = rule_book(settings)
        self.meanwhile = lambda: None
        self.wet = range(0)
        monkeypatch.setattr(evaluation, "find", self.find)

    def find(self, rules: Any, forecast: Any, cells: Any) -> Any:
        self.meanwhile()
        time = forecast.reference_time
        rain = (time - START) // STEP in self.wet
        found = Finding(time, 0.9 if rain else 0.0, time if rain else None, 2.0, rain, rain, True, rain, False)
        return [found] * len(rules), "probabilities"

    def rule(self, first: int, last: int) -> str:
        """A rule with quiet hours from one forecast to before another."""
        hours = {"start": f"{START + STEP * first:%H:%M}", "end": f"{START + STEP * last:%H:%M}", "tz": "UTC"}
        return stored(self.book, {**RULE, "quiet_hours": hours})

    def evaluate(self, index: int) -> int:
        time = START + STEP * index
        forecast: Any = SimpleNamespace(id=str(index), reference_time=time)
        cells: Any = None
        done = evaluation.evaluate(self.book, forecast, cells, "rates", time)
        assert done is not None
        return done.events


@pytest.fixture
def night(tmp_path, monkeypatch) -> Night:
    return Night(Settings(home=tmp_path), monkeypatch)


@pytest.mark.parametrize(
    ("wet", "hours", "expected"),
    [
        (range(9), (0, 3), [("raised", 3)]),
        (range(2), (0, 4), []),
        (range(2), (1, 4), [("raised", 0), ("ended", 4)]),
        (range(2), (7, 9), [("raised", 0), ("ended", 2)]),
        (range(2, 9), (22, 3), [("raised", 3)]),
    ],
)
def test_in_quiet_hours_nothing_happens_and_what_lasts_happens_then(night, wet, hours, expected):
    rule_id, night.wet = night.rule(*hours), wet
    for index in range(6):
        night.evaluate(index)
    events = [(one["event"], one["reference_time"]) for one in events_of(night.book.engine, rule_id, 10)]
    assert events[::-1] == [(kind, f"{START + STEP * index:%Y-%m-%dT%H:%M:%SZ}") for kind, index in expected]


def test_the_cancellation_of_stale_data_waits_for_the_end_of_quiet_hours(night):
    night.rule(1, 4)
    night.wet = range(9)
    assert night.evaluate(0) == 1
    assert cancel_all(night.book, START + STEP * 3, START) == 0
    assert cancel_all(night.book, START + STEP * 4, START) == 1
    assert cancel_all(night.book, START + STEP * 5, START) == 0


def test_a_rule_that_is_changed_while_it_is_evaluated_has_no_event_of_the_old_one(night):
    rule_id, night.wet = night.rule(7, 9), range(9)
    night.meanwhile = lambda: night.book.change(rule_id, None, night.book.get(rule_id).definition)
    assert night.evaluate(0) == 0
    assert night.book.get(rule_id).state.alert_id is None
    night.meanwhile = lambda: night.book.delete(rule_id)
    assert night.evaluate(1) == 0
    assert events_of(night.book.engine, rule_id, 10) == []
