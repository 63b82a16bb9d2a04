"""What ends: alerts of revoked keys, past alerts after a while, the record of a rule that becomes another one."""

from datetime import UTC, datetime, timedelta

import pytest
from sqlalchemy import insert, select, update

import service.tasks.alerts as tasks
from ingest.store.database import reading, writing
from service.access.keybook import KeyBook
from service.alerts.events import events_of
from service.alerts.pending import clear
from service.alerts.progress import progress_of
from service.alerts.rulebook import rule_book
from service.alerts.tables import AlertRow, RuleStateRow
from tests.service.alerts.happening import happen
from tests.service.alerts.playing import play, rainy_world, showers, stored


@pytest.fixture
def world(open_world, monkeypatch):
    world = rainy_world(open_world)
    monkeypatch.setattr(tasks, "service", lambda: world.service)
    monkeypatch.setattr(tasks, "get_settings", lambda: world.service.settings)
    monkeypatch.setattr(tasks, "is_first", lambda name, within_s: True)
    return world


def everywhere() -> dict[str, object]:
    west, south = min(showers(0).grid.corners_lon_lat())
    box = [west - 1, south - 1, west + 2, south + 2]
    return {"name": "Everywhere", "bbox": box, "quantity": "rate", "threshold": 0.1, "probability": 0.05}


def outcomes(book, rule_id) -> list[str]:
    with reading(book.engine) as connection:
        return sorted(connection.scalars(select(AlertRow.outcome).where(AlertRow.rule_id == rule_id)))


def test_the_alerts_of_a_revoked_key_are_cancelled_once_and_its_rules_rest(world):
    book, keys = rule_book(world.service.settings), KeyBook.from_settings(world.service.settings)
    owner = keys.create("Anna", "forecast").split("_")[1]
    mine, other = stored(book, everywhere(), owner), stored(book, everywhere(), "somebody")
    for _ in play(world, 0, 7):
        tasks.evaluate_rules_task()
    assert book.get(mine).state.alert_id
    assert progress_of(book.engine).raised == 2
    keys.revoke("Anna")
    assert tasks.evaluate_rules_task() == 1
    last = events_of(book.engine, mine, 1)[0]
    assert (last["event"], last["reason"]) == ("cancelled", "key_revoked")
    assert "its API key was revoked" in last["message"]
    assert tasks.evaluate_rules_task() == 0
    assert book.get(other).state.alert_id
    progress = progress_of(book.engine)
    assert (progress.rules, progress.raised, progress.messages) == (2, 1, {})
    assert progress.evaluated["rates"] == world.service.latest().reference_time


def counted(book, rule_id) -> tuple[int, int]:
    state = book.get(rule_id).state
    return state.hits, state.false_alarms


def with_outcomes(book, rule_id, now) -> None:
    """Two past alerts and an open one."""
    ages = {"hit": 400, "false_alarm": 10, "open": 400}
    with writing(book.engine) as connection:
        for outcome, days in ages.items():
            connection.execute(insert(AlertRow).values(
                id=f"{outcome} {rule_id}"[:36], rule_id=rule_id, raised_at=now - timedelta(days=days), probability=0.5,
                ended_at=now, outcome=outcome, looked=1, observed=1,
            ))  # fmt: skip
        connection.execute(update(RuleStateRow).values(hits=1, false_alarms=1))


def test_past_alerts_are_deleted_and_their_counts_stay(world):
    book, now = rule_book(world.service.settings), datetime.now(UTC)
    rule_id = stored(book, everywhere())
    with_outcomes(book, rule_id, now)
    assert clear(book.engine, now, alerts_keep_days=365) == 1
    assert outcomes(book, rule_id) == ["false_alarm", "open"]
    assert counted(book, rule_id) == (1, 1)


@pytest.mark.parametrize(
    ("changes", "stays"),
    [
        ({"name": "Another", "language": "de", "targets": [{"kind": "ntfy", "topic": "x"}]}, True),
        ({"quiet_hours": {"start": "22:00", "end": "06:00", "tz": "UTC"}}, True),
        ({"threshold": 1.0}, False),
        ({"bbox": [9, 50, 10, 51]}, False),
        ({"dry_minutes": 60}, False),
        ({"probability": 0.7}, False),
    ],
)
def test_the_record_is_that_of_the_rule_as_it_is(world, changes, stays):
    book = rule_book(world.service.settings)
    rule_id = stored(book, everywhere())
    with_outcomes(book, rule_id, datetime.now(UTC))
    happen(book, rule_id, "raised")
    book.change(rule_id, None, {**book.get(rule_id).definition, **changes})
    assert counted(book, rule_id) == ((1, 1) if stays else (0, 0))
    assert len(outcomes(book, rule_id)) == (3 if stays else 0)
    assert "open" not in outcomes(book, rule_id)
