"""How many requests for a forecast are taken on: some at work, some waiting without a thread, the rest sent away."""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from os import cpu_count
from typing import TypeVar

from anyio import CancelScope, CapacityLimiter, fail_after, to_thread
from fastapi import Request

from core.errors import BusyError, ClientDisconnectedError
from core.settings import Settings
from service.inference.request_scope import DISCONNECTED, ClientPresence, current_scope, request_scope
from service.telemetry.metrics import QUEUE_SECONDS, REFUSED, timed

T = TypeVar("T")


class Admission:
    """The door of one process; used from its event loop alone.

    Args:
        at_once: requests that are worked on at the same time, each in a thread.
        places: requests in the house, from the first byte of their body to the end of their work.
        limit_s: longest wait of a request, for its turn and for the model together.
    """

    def __init__(self, at_once: int, places: int, limit_s: float) -> None:
        self._at_once = at_once
        self._limiter = CapacityLimiter(at_once)
        self._threads = CapacityLimiter(at_once)
        self._places = places
        self._taken = 0
        self._limit_s = limit_s

    @asynccontextmanager
    async def place(self) -> AsyncIterator[None]:
        """Hold one of the places.

        Raises:
            BusyError: none is free.
        """
        if self._taken >= self._places:
            REFUSED.labels("queue_full").inc()
            raise BusyError(f"{self._taken} forecasts are being made or wait; ask again later")
        self._taken += 1
        try:
            yield
        finally:
            self._taken -= 1

    def widen(self, at_once: int) -> None:
        """Let at least so many be worked on at the same time; from any thread."""
        self._at_once = max(self._at_once, at_once)

    async def run(self, work: Callable[[], T]) -> T:
        """Do the work in a thread when it is its turn.

        Raises:
            BusyError: the time was over before.
            ClientDisconnectedError: who asked left before.
        """
        for limiter in (self._limiter, self._threads):  # here, since only the event loop may change them
            if limiter.total_tokens < self._at_once:
                limiter.total_tokens = self._at_once
        turn = object()
        with request_scope(limit_s=self._limit_s):
            await self._wait_for(turn)
            try:
                return await to_thread.run_sync(work, limiter=self._threads)
            finally:
                self._limiter.release_on_behalf_of(turn)

    async def _wait_for(self, turn: object) -> None:
        try:
            with (
                timed(QUEUE_SECONDS, "requests"),
                fail_after(self._limit_s),
                CancelScope() as waiting,
                current_scope().client.on_disconnect(waiting.cancel),
            ):
                await self._limiter.acquire_on_behalf_of(turn)
        except TimeoutError as err:
            REFUSED.labels("too_late").inc()
            raise BusyError(f"no forecast could be begun within {self._limit_s:g} s; ask again later") from err
        if waiting.cancelled_caught:
            raise ClientDisconnectedError(DISCONNECTED)


def admission_of(settings: Settings) -> Admission:
    """The bounds of the settings: as many at work as there are processors; a GPU's batches `widen` it."""
    return Admission(cpu_count() or 1, settings.queue_size, settings.request_limit_s)


@asynccontextmanager
async def while_present(request: Request) -> AsyncIterator[None]:
    """The block's forecast leaves every queue when the client goes; one that has begun is made and kept.

    Args:
        request: whose body has been read.

    Raises:
        ClientDisconnectedError: it went before its forecast was begun.
    """
    client = ClientPresence()
    watch = asyncio.create_task(_watch(request, client))
    try:
        with request_scope(client=client):
            yield
    except ClientDisconnectedError:
        REFUSED.labels("client_gone").inc()
        raise
    finally:
        watch.cancel()


async def _watch(request: Request, client: ClientPresence) -> None:
    while (await request.receive())["type"] != "http.disconnect":
        pass  # the rest of a body that nobody wants
    client.disconnect()
