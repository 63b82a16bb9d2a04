"""Clients that go away: who still waits leaves every queue and costs nothing, what has begun is made and kept."""

import asyncio
import json
import socket
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, field
from urllib.parse import urlsplit

import pytest

from core.errors import ClientDisconnectedError
from core.settings import Settings
from ingest.store.live import Store
from service.api.admission import Admission
from service.forecasts.catalogue import Catalogue
from service.forecasts.nowcast import NowcastService
from service.inference.batch import Batching, Lane
from service.inference.predictor import Predictor
from service.inference.request_scope import ClientPresence, request_scope
from service.telemetry.metrics import REFUSED
from tests import asking
from tests.service.api_support import CHANCES_MMH, NOW, REFERENCE, STEP, Shift, fill, load, service_at
from tests.service.live import served
from tests.waiting import PATIENCE_S, wait_until


def test_a_client_that_disconnects_while_waiting_holds_nothing():
    admission, go, client, ran = Admission(1, 8, 20), threading.Event(), ClientPresence(), []

    async def leaver() -> None:
        with request_scope(client=client), pytest.raises(ClientDisconnectedError):
            await admission.run(lambda: ran.append("leaver"))

    async def all_of_them() -> None:
        first = asyncio.create_task(admission.run(lambda: go.wait(PATIENCE_S)))
        second = asyncio.create_task(leaver())
        third = asyncio.create_task(admission.run(lambda: ran.append("third")))
        await asyncio.sleep(0)
        client.disconnect()
        await second
        assert not first.done()
        go.set()
        await asyncio.gather(first, third)

    asyncio.run(all_of_them())
    assert ran == ["third"]


def test_who_has_left_gets_no_turn_at_all():
    admission, client, ran = Admission(1, 8, 20), ClientPresence(), []
    client.disconnect()

    async def late() -> None:
        with request_scope(client=client), pytest.raises(ClientDisconnectedError):
            await admission.run(lambda: ran.append("late"))
        assert await admission.run(lambda: 3) == 3

    asyncio.run(late())
    assert ran == []


def test_a_call_that_waits_for_the_model_is_taken_off_and_one_that_runs_is_not():
    go, begun, made = threading.Event(), threading.Semaphore(0), []

    def run(_kind, given):
        begun.release()
        assert go.wait(PATIENCE_S)
        made.extend(given)
        return list(given)

    lane = Lane(run, Batching())
    clients = [ClientPresence(), ClientPresence(), ClientPresence()]

    def call(number):
        with request_scope(client=clients[number]):
            return lane.call("kind", number)

    with ThreadPoolExecutor() as pool:
        running = pool.submit(call, 0)
        assert begun.acquire(timeout=PATIENCE_S)
        waiting = [pool.submit(call, number) for number in (1, 2)]
        wait_until(lambda: len(lane._waiting) == 2, "waiting requests")
        clients[1].disconnect()
        clients[0].disconnect()
        with pytest.raises(ClientDisconnectedError, match="disconnected"):
            waiting[0].result(20)
        assert len(lane._waiting) == 1
        go.set()
        assert (running.result(20), waiting[1].result(20)) == (0, 2)
        with pytest.raises(ClientDisconnectedError):
            call(1)
    assert made == [0, 2]


@dataclass(eq=False)
class Held(Shift):
    """The default model of the other tests, which waits until it may go on."""

    name: str = "default"
    cells: int = 3
    thresholds_mmh: tuple[float, ...] = CHANCES_MMH
    may_go: threading.Event = field(default_factory=threading.Event)
    begun: threading.Semaphore = field(default_factory=lambda: threading.Semaphore(0))
    calls: int = 0
    holds: bool = False

    def fields(self, rate_mmh_THW, lead_steps):
        if self.holds:
            self.calls += 1
            self.begun.release()
            assert self.may_go.wait(PATIENCE_S)
        return super().fields(rate_mmh_THW, lead_steps)


@contextmanager
def posted(address: str, reference_time: str) -> Iterator[socket.socket]:
    """A client that has sent its request and reads no answer."""
    place = urlsplit(address)
    body = json.dumps({"reference_time": reference_time, "verify": False}).encode()
    head = f"POST /nowcast HTTP/1.1\r\nHost: {place.netloc}\r\nContent-Type: application/json\r\n"
    with socket.create_connection((place.hostname, place.port)) as client:
        client.sendall(f"{head}Content-Length: {len(body)}\r\n\r\n".encode() + body)
        yield client


def gone():
    return REFUSED.labels("client_gone")._value.get()


def test_clients_that_go_leave_the_queue_and_only_what_was_begun_is_made_and_kept(tmp_path):
    model, before = Held(), gone()
    store = Store(tmp_path, clock=lambda: NOW)
    predictor = Predictor(lambda name: model if name == "default" else load(name))
    service = NowcastService(Settings(home=tmp_path), store, Catalogue(tmp_path), predictor, lambda: NOW)
    times = [REFERENCE - STEP * back for back in range(6)]
    for time in times:
        fill(service, time)
    with served(service) as address:
        model.holds = True
        with posted(address, times[0].isoformat()):
            assert model.begun.acquire(timeout=PATIENCE_S)
            for time in times[1:]:
                with posted(address, time.isoformat()):
                    pass
            wait_until(lambda: gone() == before + 5, "five counted clients")
        model.may_go.set()
        wait_until(
            lambda: len(service.list()) == 3, "stored forecasts"
        )  # and its baselines, which nobody waits for either
        assert {forecast.reference_time for forecast in service.list()} == {REFERENCE}
        assert model.calls == 1
        answer = asking.post(f"{address}/nowcast", json={"reference_time": times[0].isoformat(), "verify": False})
        assert answer.status_code == 200
        assert model.calls == 1, "the same id, not made again"
        assert gone() == before + 5


def test_a_client_that_goes_while_it_sends_is_no_failure_of_the_service(tmp_path, caplog):
    service, before = service_at(tmp_path), gone()
    with served(service) as address:
        place = urlsplit(address)
        head = f"POST /nowcast HTTP/1.1\r\nHost: {place.netloc}\r\nContent-Type: application/json\r\n"
        with socket.create_connection((place.hostname, place.port)) as client:
            client.sendall(f"{head}Content-Length: 100\r\n\r\n{{".encode())
        wait_until(lambda: gone() == before + 1, "one counted client")
    assert not [record for record in caplog.records if record.levelname in ("ERROR", "CRITICAL")]
