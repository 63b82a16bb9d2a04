"""GET /rules/events: the events of the caller's rules alone, each once, resumed after the last one."""

from collections.abc import Callable
from datetime import timedelta

import httpx2
import pytest

from core.settings import Settings
from service.access.keybook import KeyBook
from service.alerts.events import events_after, number_of
from service.alerts.rulebook import rule_book
from service.api import access, rule_events
from tests import asking
from tests.service.alerts.happening import NOW, happen
from tests.service.alerts.playing import stored
from tests.service.api_support import service_at
from tests.service.live import served
from tests.waiting import PATIENCE_S

RULE = {"name": "Garden", "place": {"lat": 51, "lon": 10}, "quantity": "rate", "threshold": 1}


def listened(url: str, key: str, count: int, then: Callable[[], object] = object, last: str | None = None) -> list[str]:
    """Ids of the first events; `then` is called once the stream is open."""
    headers = {"X-API-Key": key, **({"Last-Event-ID": last} if last else {})}
    found: list[str] = []
    with httpx2.stream("GET", f"{url}/rules/events", headers=headers, timeout=PATIENCE_S) as answer:
        assert answer.status_code == 200
        for event in httpx2.EventSource(answer):
            if event.event != "alert":
                then()
                continue
            document = event.json()
            assert isinstance(document, dict)
            assert document["event_id"] == event.id
            found.append(str(event.id))
            if len(found) == count:
                break
    return found


@pytest.fixture
def world(tmp_path, monkeypatch):
    monkeypatch.setattr(rule_events, "LOOK_S", 0.02)
    service = service_at(tmp_path)
    keys = KeyBook.from_settings(service.settings)
    with served(service) as url:
        yield url, rule_book(service.settings), keys


def test_events_are_streamed_and_resumed_for_the_owner_alone(world):
    url, book, keys = world
    mine, other = keys.create("Me", "read"), keys.create("Other", "read")
    owners = {key: key.split("_")[1] for key in (mine, other)}
    rule_id, foreign = (stored(book, RULE, owners[key]) for key in (mine, other))
    events: list[str] = []

    def rain() -> None:
        if not events:
            happen(book, foreign, "raised")
            events.extend(happen(book, rule_id, "raised", "updated", "ended"))

    found = listened(url, mine, 3, rain)
    assert found == events
    assert listened(url, mine, 2, last=events[0]) == events[1:]
    assert asking.get(f"{url}/rules/events", headers={"Last-Event-ID": "no id", "X-API-Key": mine}).status_code == 422
    assert asking.get(f"{url}/rules/events", headers={"X-API-Key": "nowcast_1_2"}).status_code == 401


def test_after_the_erasure_of_the_last_received_event_none_is_left_out(world):
    url, book, keys = world
    mine, other = keys.create("Me", "read"), keys.create("Other", "read")
    kept, gone, foreign = (stored(book, RULE, key.split("_")[1]) for key in (mine, mine, other))
    earlier = happen(book, kept, "raised")
    (last,) = happen(book, gone, "raised")
    happen(book, foreign, "raised")
    missed = happen(book, kept, "updated", "ended", first=NOW + timedelta(hours=1))
    book.delete(gone, mine.split("_")[1])
    assert listened(url, mine, 3, last=last) == earlier + missed


def test_an_event_after_the_erasure_of_a_rule_is_newer_than_all_before(tmp_path):
    book = rule_book(Settings(home=tmp_path))
    first, second = (stored(book, RULE, "me") for _ in range(2))
    happen(book, first, "raised", "updated", "ended")
    happen(book, second, "raised")
    seen = number_of(book.engine, None)
    book.delete(second, "me")
    book.delete(first, "me")
    third = stored(book, RULE, "me")
    ids = happen(book, third, "raised")
    assert [document["event_id"] for _, document in events_after(book.engine, "me", seen, 10)] == ids


def test_the_stream_of_a_revoked_key_ends(world, monkeypatch):
    url, _, keys = world
    monkeypatch.setattr(rule_events, "HEARTBEAT_S", 0.02)
    monkeypatch.setattr(access, "KEYS_KEPT_S", 0.01)
    key = keys.create("Me", "read")
    with httpx2.stream("GET", f"{url}/rules/events", headers={"X-API-Key": key}, timeout=PATIENCE_S) as answer:
        assert answer.status_code == 200
        read = b""
        for part in answer.iter_bytes():
            if not read:
                keys.revoke("Me")
            read += part
        assert read.startswith(b": events of rules")


def test_the_stream_of_a_revoked_key_ends_although_events_go_on(world, monkeypatch):
    url, book, keys = world
    monkeypatch.setattr(rule_events, "HEARTBEAT_S", 0.5)
    monkeypatch.setattr(access, "KEYS_KEPT_S", 0.01)
    key = keys.create("Me", "read")
    rule_id = stored(book, RULE, key.split("_")[1])
    with httpx2.stream("GET", f"{url}/rules/events", headers={"X-API-Key": key}, timeout=PATIENCE_S) as answer:
        keys.revoke("Me")  # here, not at the first event: a heartbeat may come before it, and a key is revoked once
        count = 0
        for _ in httpx2.EventSource(answer):
            count += 1
            assert count < 60, "the stream goes on"
            happen(book, rule_id, "updated", first=NOW + timedelta(minutes=count))
    assert count > 1
