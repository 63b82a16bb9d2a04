"""GET /events: every forecast once, also to a returning client; through a real server."""

from collections.abc import Callable, Iterator
from datetime import timedelta
from pathlib import Path
from uuid import uuid4

import httpx2
import pytest

from service.api import events
from service.client import Client
from service.forecasts.nowcast import NowcastService
from tests import asking
from tests.service.api_support import REFERENCE, fill, service_at
from tests.service.live import served
from tests.waiting import PATIENCE_S

STEP = timedelta(minutes=30)


@pytest.fixture
def service(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> NowcastService:
    monkeypatch.setattr(events, "LOOK_S", 0.02)
    made = service_at(tmp_path)
    for steps in range(4):
        fill(made, REFERENCE + steps * STEP)
    return made


@pytest.fixture
def url(service: NowcastService) -> Iterator[str]:
    with served(service) as address:
        yield address


def listened(url: str, count: int, then: Callable[[], object] = object, **headers: str) -> list[httpx2.ServerSentEvent]:
    """The first events; `then` is called once the stream is open."""
    found = []
    document = {name.replace("_", "-"): value for name, value in headers.items()}
    with httpx2.stream("GET", f"{url}/events", headers=document, timeout=PATIENCE_S) as answer:
        assert answer.status_code == 200
        assert answer.headers["content-type"].startswith("text/event-stream")
        assert answer.headers["cache-control"] == "no-store"
        for event in httpx2.EventSource(answer):
            if event.event == "message":
                assert event.retry
                then()
            else:
                found.append(event)
            if len(found) == count:
                return found
    return found


def test_a_new_forecast_is_sent_and_known_ones_are_not(service, url):
    service.forecast_stored(REFERENCE)
    (event,) = listened(url, 1, lambda: service.forecast_stored(REFERENCE + STEP))
    latest = service.latest()
    assert (event.event, event.id) == ("forecast", latest.id)
    document = event.json()
    assert isinstance(document, dict)
    assert document["reference_time"] == "2024-06-01T12:30:00Z"
    assert document["href"] == f"/nowcast/{latest.id}"
    assert set(document) == {"forecast_id", "reference_time", "issued_at", "status", "href"}


def test_the_first_forecast_of_all_is_sent(service, url):
    (event,) = listened(url, 1, lambda: service.forecast_stored(REFERENCE))
    assert event.id == service.latest().id


def test_a_returning_client_receives_missed_forecasts_in_order(service, url):
    made = [service.forecast_stored(REFERENCE + steps * STEP).id for steps in range(4)]
    assert [event.id for event in listened(url, 3, Last_Event_ID=made[0])] == made[1:]
    assert asking.get(f"{url}/events", headers={"Last-Event-ID": "no id"}).status_code == 422


def test_an_unknown_id_starts_with_the_next_forecast(service, url):
    service.forecast_stored(REFERENCE)
    then = lambda: service.forecast_stored(REFERENCE + STEP)
    assert [event.id for event in listened(url, 1, then, Last_Event_ID=str(uuid4()))] == [service.latest().id]


def test_a_silent_stream_sends_heartbeats(service, url, monkeypatch):
    monkeypatch.setattr(events, "HEARTBEAT_S", 0.05)
    with httpx2.stream("GET", f"{url}/events", timeout=PATIENCE_S) as answer:
        heard = (line for line in answer.iter_lines() if line == ": heartbeat")
        assert [next(heard), next(heard)] == [": heartbeat"] * 2


def test_listeners_are_bounded_and_disconnected_ones_do_not_count(service, url, monkeypatch):
    monkeypatch.setattr(events, "MOST_LISTENERS", 1)
    with httpx2.stream("GET", f"{url}/events", timeout=PATIENCE_S) as answer:
        lines = answer.iter_lines()  # held: it closes the stream when it goes
        next(lines)
        refused = asking.get(f"{url}/events")
        assert (refused.status_code, refused.headers["retry-after"]) == (503, "30")
    first, second = (service.forecast_stored(REFERENCE + steps * STEP).id for steps in range(2))
    with Client(url, sleep=lambda _: None) as client:  # asks until the place is free
        following = client.events(after=first)
        assert next(following).id == second
        following.close()


def test_the_client_receives_missed_forecasts(service, url):
    made = [service.forecast_stored(REFERENCE + steps * STEP).id for steps in range(3)]
    with Client(url) as client:
        following = client.events(after=made[0])
        assert [next(following).id, next(following).id] == made[1:]
        following.close()
