"""The scope of one request: its deadline, and whether its client is still connected.

The API opens it where a request enters; whatever waits on the request's behalf (in a queue, for a decoder, for a
model) reads it from a context variable, which the threads that anyio starts inherit.
"""

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass, field, replace
from typing import Final

from core.errors import BusyError, ClientDisconnectedError, ForecastError

DISCONNECTED: Final = "the client disconnected before its forecast was started"


class ClientPresence:
    """Whether one client is still connected; it may disconnect once, reported from any thread."""

    def __init__(self) -> None:
        self._guard = threading.Lock()
        self._cancels: list[Callable[[], object]] = []
        self._is_gone = False

    def disconnect(self) -> None:
        """Cancel whatever waits for this client; a computation that has started goes on."""
        with self._guard:
            self._is_gone = True
            cancels, self._cancels = self._cancels, []
        for cancel in cancels:
            cancel()

    def check(self) -> None:
        """Continue only if the client is connected.

        Raises:
            ClientDisconnectedError: the client has disconnected.
        """
        if self._is_gone:
            raise ClientDisconnectedError(DISCONNECTED)

    @contextmanager
    def on_disconnect(self, cancel: Callable[[], object]) -> Iterator[None]:
        """Call `cancel` if the client disconnects while this block runs.

        Raises:
            ClientDisconnectedError: the client has disconnected already.
        """
        with self._guard:
            self.check()
            self._cancels.append(cancel)
        try:
            yield
        finally:
            with self._guard:
                self._cancels = [other for other in self._cancels if other is not cancel]


@dataclass(frozen=True)
class RequestScope:
    """The deadline and the client of a request.

    Attributes:
        client: whether the client is connected; outside of requests one that never disconnects.
        wait_until: on the clock `time.monotonic`; None without a limit.
        model_until: on the same clock, when a model that has not finished is given up, so that a baseline can still be
            made within the limit of a task; None without a limit.
    """

    client: ClientPresence = field(default_factory=ClientPresence)
    wait_until: float | None = None
    model_until: float | None = None

    @property
    def give_up_at(self) -> float | None:
        """Return when no caller waits for a model any more; None without a limit."""
        return min((until for until in (self.wait_until, self.model_until) if until is not None), default=None)

    def check_waiting(self) -> None:
        """Continue a model only if somebody waits for it.

        Raises:
            BusyError: the request's deadline has passed.
            ForecastError: the time that a model may take has passed.
        """
        now = time.monotonic()
        if self.wait_until is not None and now > self.wait_until:
            raise BusyError("the request's time limit (NOWCAST_REQUEST_LIMIT_S) passed before the model had finished")
        if self.model_until is not None and now > self.model_until:
            raise ForecastError("the model took longer than NOWCAST_TASK_LIMIT_S allows")

    def remaining_s(self, step: str) -> float | None:
        """Return the seconds that this request may still wait; None without a limit.

        Args:
            step: what is waited for, as the message names it: "a decoder was free".

        Raises:
            BusyError: no time is left.
            ClientDisconnectedError: the client has disconnected.
        """
        self.client.check()
        if self.wait_until is None:
            return None
        left_s = self.wait_until - time.monotonic()
        if left_s <= 0:
            raise BusyError(f"the request's time limit passed before {step}; the service is busy")
        return left_s


_SCOPE: Final[ContextVar[RequestScope | None]] = ContextVar("request_scope", default=None)


def current_scope() -> RequestScope:
    """Return the scope of the current request; outside of requests one without limit."""
    return _SCOPE.get() or RequestScope()


@contextmanager
def request_scope(
    *, client: ClientPresence | None = None, limit_s: float | None = None, model_s: float | None = None
) -> Iterator[None]:
    """Set the scope of the request within this block; arguments that are None leave the outer scope's value.

    Args:
        client: of the request.
        limit_s: the longest time to wait from now on.
        model_s: the longest time from now on that a model may take, before a baseline is the fallback.
    """
    scope = current_scope()
    if client is not None:
        scope = replace(scope, client=client)
    if limit_s is not None:
        scope = replace(scope, wait_until=time.monotonic() + limit_s)
    if model_s is not None:
        scope = replace(scope, model_until=time.monotonic() + model_s)
    token = _SCOPE.set(scope)
    try:
        yield
    finally:
        _SCOPE.reset(token)
