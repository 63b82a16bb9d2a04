"""Lanes: how many requests of one heavy kind are worked on at a time, so that none of them takes the threads of others.

A request waits for its lane before it takes a thread. It is refused where too many wait already, or when its time is
over; a client that disconnects leaves the lane, and its work ends at the next lead.
"""

from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from os import cpu_count
from typing import Any, Final

from anyio import CapacityLimiter
from fastapi import Depends, Request

from core.errors import BusyError
from service.api.admission import turn, while_present
from service.telemetry.metrics import REFUSED

CORES: Final = max(2, cpu_count() or 1)
RECEIVERS: Final = 4
"""Requests in progress that wait for receivers of alerts, which may never answer."""

AT_ONCE: Final = {"areas": CORES, "maps": CORES, "files": 2 * CORES, "state": 1, "messages": RECEIVERS}
"""Requests of each kind in progress; together far fewer than the 40 threads that all routes share."""

WAITING: Final = 32
WAIT_S: Final = 20.0


class RequestLane:
    """The requests of one kind; used from one event loop.

    Args:
        name: of the kind, for metrics and messages.
        at_once: requests in progress.
        waiting: requests that wait; more are refused.
        wait_s: longest wait.
    """

    def __init__(self, name: str, at_once: int, waiting: int = WAITING, wait_s: float = WAIT_S) -> None:
        self._name, self._waiting, self._wait_s = name, waiting, wait_s
        self._limiter = CapacityLimiter(at_once)

    @asynccontextmanager
    async def place(self) -> AsyncIterator[None]:
        """Hold a place of the lane for the duration of the block.

        Raises:
            BusyError: too many requests wait, or the wait was too long.
            ClientDisconnectedError: the client disconnected before its turn.
        """
        if self._limiter.statistics().tasks_waiting >= self._waiting:
            REFUSED.labels("lane_full").inc()
            raise BusyError(f"{self._waiting} requests for {self._name} wait already, the limit; retry later")
        late = f"the request for {self._name} could not start within {self._wait_s:g} s"
        async with turn(self._limiter, self._name, self._wait_s, late):
            yield


class Lanes:
    """The lanes of one application."""

    def __init__(self) -> None:
        self._lanes = {name: RequestLane(name, at_once) for name, at_once in AT_ONCE.items()}

    def of(self, name: str) -> RequestLane:
        """Return the lane of a kind."""
        return self._lanes[name]


@asynccontextmanager
async def lane_held(request: Request, name: str) -> AsyncIterator[None]:
    """Hold a place of a lane while the client is there.

    Raises:
        BusyError: too many requests wait, or the wait was too long.
        ClientDisconnectedError: the client disconnected before its turn.
    """
    lanes: Lanes = request.app.state.lanes
    async with while_present(request), lanes.of(name).place():
        yield


def in_lane(name: str) -> Any:
    """Return the dependency of routes that are worked on in a lane; it is left before the response is sent."""

    async def hold(request: Request) -> AsyncIterator[None]:
        async with lane_held(request, name):
            yield

    held: Callable[[Request], AsyncIterator[None]] = hold
    return Depends(held, scope="function")
