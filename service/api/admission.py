"""Admission of forecast requests: a limited number runs, a limited number waits, the rest is refused."""

import asyncio
from collections import Counter
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager, contextmanager
from os import cpu_count
from typing import Final, TypeVar

from anyio import CancelScope, CapacityLimiter, fail_after, to_thread
from fastapi import Request

from core.errors import BusyError, ClientDisconnectedError
from core.settings import Settings
from service.inference.request_scope import DISCONNECTED, ClientPresence, current_scope, request_scope
from service.telemetry.metrics import QUEUE_SECONDS, REFUSED, timed

T = TypeVar("T")

MOST_BODIES: Final = 8
"""Bodies of one caller that are received at the same time; a quarter of the places of the default settings.

With few places it is one less than there are, so that one is left for others.
"""


class Admission:
    """Admission control of one process; used from its event loop only.

    Args:
        at_once: requests that run at the same time, each in a thread.
        places: admitted requests, counted from the first byte of the body to the end of the work.
        limit_s: longest time that a request may wait for its start and for the model together.
    """

    def __init__(self, at_once: int, places: int, limit_s: float) -> None:
        self._at_once = at_once
        self._limiter = CapacityLimiter(at_once)
        self._threads = CapacityLimiter(at_once)
        self._places = places
        self._taken = 0
        self._receiving: Counter[str] = Counter()
        self._limit_s = limit_s

    @asynccontextmanager
    async def place(self) -> AsyncIterator[None]:
        """Hold one of the places for the duration of the block.

        Raises:
            BusyError: all places are taken.
        """
        if self._taken >= self._places:
            REFUSED.labels("queue_full").inc()
            raise BusyError(f"{self._taken} forecast requests are running or waiting, the limit; retry later")
        self._taken += 1
        try:
            yield
        finally:
            self._taken -= 1

    @contextmanager
    def reception(self, caller: str) -> Iterator[None]:
        """Receive a body in this block: only some at a time of one caller, whose slow ones leave places for others.

        Raises:
            BusyError: that many bodies of this caller are being received already.
        """
        most = min(MOST_BODIES, max(1, self._places - 1))
        if self._receiving[caller] >= most:
            REFUSED.labels("queue_full").inc()
            raise BusyError(f"{most} request bodies of this client are being received, the limit; retry later")
        self._receiving[caller] += 1
        try:
            yield
        finally:
            self._receiving[caller] -= 1
            if not self._receiving[caller]:
                del self._receiving[caller]

    def widen(self, at_once: int) -> None:
        """Raise the number of concurrent requests to at least `at_once`; may be called from any thread."""
        self._at_once = max(self._at_once, at_once)

    async def run(self, work: Callable[[], T]) -> T:
        """Run the work in a thread as soon as the concurrency limit allows it.

        Raises:
            BusyError: it could not start within the time limit.
            ClientDisconnectedError: the client disconnected before the start.
        """
        for limiter in (self._limiter, self._threads):  # not in `widen`: only the event loop may change a limiter
            if limiter.total_tokens < self._at_once:
                limiter.total_tokens = self._at_once
        late = f"the request could not start within {self._limit_s:g} s; retry later"
        with request_scope(limit_s=self._limit_s):
            async with turn(self._limiter, "requests", self._limit_s, late):
                return await to_thread.run_sync(work, limiter=self._threads)


@asynccontextmanager
async def turn(limiter: CapacityLimiter, queue: str, wait_s: float, late: str) -> AsyncIterator[None]:
    """Hold one of a limiter's tokens for the duration of the block; waits within the scope of the request.

    Args:
        limiter: of what runs at a time.
        queue: name for the metric of waiting times.
        wait_s: longest wait.
        late: message of the refusal after it.

    Raises:
        BusyError: the wait was too long.
        ClientDisconnectedError: the client disconnected before its turn.
    """
    borrower = object()
    try:
        with (
            timed(QUEUE_SECONDS, queue),
            fail_after(wait_s),
            CancelScope() as waiting,
            current_scope().client.on_disconnect(waiting.cancel),
        ):
            await limiter.acquire_on_behalf_of(borrower)
    except TimeoutError as err:
        REFUSED.labels("too_late").inc()
        raise BusyError(late) from err
    if waiting.cancelled_caught:
        raise ClientDisconnectedError(DISCONNECTED)
    try:
        yield
    finally:
        limiter.release_on_behalf_of(borrower)


def admission_of(settings: Settings) -> Admission:
    """Return the admission control for the settings; it runs one request per processor, until `widen` allows more."""
    return Admission(cpu_count() or 1, settings.queue_size, settings.request_limit_s)


@asynccontextmanager
async def while_present(request: Request) -> AsyncIterator[None]:
    """Withdraw the block's forecast from all queues if the client disconnects; one that has started is completed.

    Args:
        request: whose body has been read.

    Raises:
        ClientDisconnectedError: the client disconnected before its forecast started.
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
        pass  # the rest of a body that is not read
    client.disconnect()
