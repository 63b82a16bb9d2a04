"""The tasks of rules: each forecast in its order and once, and a cancellation where the data are stale."""

from datetime import timedelta
from unittest.mock import Mock

import pytest

import service.tasks.alerts as tasks
from core.errors import ConfigError
from core.settings import Settings
from service.alerts.delivery import Sent
from service.alerts.events import events_of
from service.alerts.pending import last_evaluated
from service.alerts.rulebook import rule_book
from tests.service.alerts.playing import STEP, play, rainy_world, showers, stored
from tests.service.conftest import START

RULE = {
    "name": "Everywhere",
    "bbox": [9.7, 51.9, 10.4, 52.3],
    "quantity": "rate",
    "threshold": 0.1,
    "probability": 0.05,
}


@pytest.fixture
def world(open_world, monkeypatch):
    world = rainy_world(open_world)
    monkeypatch.setattr(tasks, "service", lambda: world.service)
    monkeypatch.setattr(tasks, "get_settings", lambda: world.service.settings)
    monkeypatch.setattr(tasks, "is_first", lambda name, within_s: True)
    return world


def test_every_forecast_counts_once_and_stale_data_cancel(world):
    book = rule_book(world.service.settings)
    west, south = min(showers(0).grid.corners_lon_lat())
    box = [west - 1, south - 1, west + 2, south + 2]
    loud = stored(book, {**RULE, "bbox": box})
    quiet = stored(book, {**RULE, "bbox": box, "quiet_hours": {"start": "00:00", "end": "23:59"}})
    for _ in play(world, 0, 7):
        tasks.evaluate_rules_task()
        assert tasks.evaluate_rules_task() == 0, "nothing is new"
    kinds = [one["event"] for one in events_of(book.engine, loud, 10)][::-1]
    assert kinds[0] == "raised"
    assert kinds.count("raised") == 1
    assert events_of(book.engine, quiet, 10) == []
    world.now = START + STEP * 6 + timedelta(hours=2)
    assert tasks.evaluate_rules_task() == 1
    last = events_of(book.engine, loud, 10)[0]
    assert (last["event"], last["reason"]) == ("cancelled", "stale")
    assert "we do not know" in last["message"]
    assert tasks.evaluate_rules_task() == 0
    assert book.get(loud).state.alert_id is None
    tasks.clear_alerts_task()
    assert len(events_of(book.engine, loud, 10)) == len(kinds) + 1


def test_a_forecast_whose_file_is_gone_keeps_no_later_one_waiting(world):
    book = rule_book(world.service.settings)
    for index, forecast in enumerate(play(world, 0, 7)):
        if index == 1:
            forecast.path.unlink()
    tasks.evaluate_rules_task()
    assert last_evaluated(book.engine, "rates") == START + STEP * 6


def test_a_change_cancels_the_alert_and_deletion_leaves_nothing(world):
    book = rule_book(world.service.settings)
    west, south = min(showers(0).grid.corners_lon_lat())
    rule_id = stored(book, {**RULE, "bbox": [west - 1, south - 1, west + 2, south + 2]})
    for _ in play(world, 0, 7):
        tasks.evaluate_rules_task()
    before = book.get(rule_id)
    assert before.state.alert_id is not None
    changed = book.change(rule_id, None, before.definition)
    assert (changed.revision, changed.state.alert_id) == (2, None)
    assert [one["reason"] for one in events_of(book.engine, rule_id, 1)] == ["rule_changed"]
    book.delete(rule_id)
    assert events_of(book.engine, rule_id, 10) == []
    assert book.rules() == []


@pytest.mark.parametrize("err", [ConfigError("MQTT URL: another text"), PermissionError("file of a forecast")])
def test_whatever_fails_in_notifications_stops_no_alert(err, tmp_path, monkeypatch):
    monkeypatch.setattr(tasks, "get_settings", lambda: Settings(home=tmp_path))
    monkeypatch.setattr(tasks, "service", Mock)
    monkeypatch.setattr(tasks, "is_first", lambda name, within_s: True)
    monkeypatch.setattr(tasks, "announce", Mock(side_effect=err))
    monkeypatch.setattr(tasks, "deliver", lambda *_: Sent(sent=3))
    assert tasks.deliver_alerts_task() == 3
