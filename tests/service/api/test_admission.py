"""Requests over the limit are refused with a time to retry; others wait without a thread, and not for ever."""

import asyncio
import contextlib
import threading

import pytest

from core.errors import BusyError
from service.api.admission import MOST_BODIES, Admission
from service.inference.request_scope import current_scope
from tests.service.api_support import fill, netcdf, running, service_at, window_times
from tests.waiting import PATIENCE_S


def test_so_many_at_once_and_the_others_wait_in_their_order():
    admission = Admission(at_once=2, places=8, limit_s=20)
    most, now, order, guard = [0], [0], [], threading.Lock()

    def work(number: int) -> int:
        with guard:
            now[0] += 1
            most[0] = max(most[0], now[0])
            order.append(number)
        assert current_scope().remaining_s("it was done") is not None, "the thread knows the request's time"
        with guard:
            now[0] -= 1
        return number

    async def ask(number: int) -> int:
        async with admission.place():
            return await admission.run(lambda: work(number))

    async def all_of_them() -> list[int]:
        return await asyncio.gather(*(ask(number) for number in range(8)))

    assert asyncio.run(all_of_them()) == list(range(8))
    assert most[0] <= 2
    assert sorted(order) == list(range(8))


def test_over_the_bound_is_turned_away_and_a_place_is_free_again():
    admission = Admission(at_once=1, places=1, limit_s=20)

    async def both() -> None:
        async with admission.place():
            with pytest.raises(BusyError, match="retry later"):
                async with admission.place():
                    raise AssertionError("there was no place")
        with pytest.raises(ZeroDivisionError):
            async with admission.place():
                await admission.run(lambda: 1 // 0)
        async with admission.place():
            assert await admission.run(lambda: 3) == 3

    asyncio.run(both())


@pytest.mark.parametrize(("places", "most"), [(32, MOST_BODIES), (4, 3)])
def test_slow_bodies_of_one_client_leave_places_for_others(places, most):
    admission = Admission(at_once=1, places=places, limit_s=20)

    async def stalled(stack: contextlib.AsyncExitStack, caller: str) -> bool:
        try:
            async with contextlib.AsyncExitStack() as own:
                await own.enter_async_context(admission.place())
                own.enter_context(admission.reception(caller))
                await stack.enter_async_context(own.pop_all())
        except BusyError:
            return False
        return True

    async def crowd() -> None:
        async with contextlib.AsyncExitStack() as stack:
            assert [await stalled(stack, "one") for _ in range(33)].count(True) == most
            assert await stalled(stack, "another"), "33 stalled uploads block nobody else"
        assert await stalled(contextlib.AsyncExitStack(), "one"), "their places are free again"

    asyncio.run(crowd())


def test_a_request_that_waits_too_long_is_refused():
    admission = Admission(at_once=1, places=4, limit_s=0.1)
    go = threading.Event()

    async def late() -> None:
        try:
            with pytest.raises(BusyError, match=r"within 0\.1 s"):
                await admission.run(lambda: None)
        finally:
            go.set()

    async def both() -> None:
        await asyncio.gather(admission.run(lambda: go.wait(PATIENCE_S)), late())

    asyncio.run(both())


def test_a_busy_service_answers_429_with_retry_after_and_nothing_is_read(tmp_path):
    service = service_at(tmp_path / "home", queue_size=1)
    fill(service)
    with running(service) as client:
        upload = {"frames": ("five.nc", netcdf(tmp_path, window_times()))}
        admission = vars(client.app)["state"].backend.admission
        admission._taken = 1
        for answer in (client.post("/nowcast", json={}), client.post("/nowcast", files=upload)):
            assert answer.status_code == 429
            assert answer.headers["content-type"] == "application/problem+json"
            assert int(answer.headers["retry-after"]) > 0
            assert answer.json()["status"] == 429
        assert client.get("/livez").status_code == 200
        admission._taken = 0
        assert client.post("/nowcast", json={}).status_code == 200
        assert client.post("/nowcast", files=upload).status_code == 200
        assert admission._taken == 0


def test_many_clients_who_post_the_same_compute_it_once(tmp_path):
    service = service_at(tmp_path / "home")
    fill(service)
    with running(service) as client:
        found: list[tuple[int, str]] = []

        def post() -> None:
            answer = client.post("/nowcast", json={"verify": False})
            found.append((answer.status_code, answer.json()["forecast_id"]))

        threads = [threading.Thread(target=post) for _ in range(8)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert set(found) == {(200, found[0][1])}
        assert len(found) == 8
