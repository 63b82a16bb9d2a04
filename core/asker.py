"""Who waits for the answer in hand, until it goes away: then its place in every queue is free at once."""

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Final

from core.errors import ClientDisconnectedError

_ASKER: Final[ContextVar["Asker | None"]] = ContextVar("asker", default=None)
WENT: Final = "the client went away before its forecast was begun"


class Asker:
    """One client; it may leave from any thread, once."""

    def __init__(self) -> None:
        self._guard = threading.Lock()
        self._waits: list[Callable[[], object]] = []
        self._is_gone = False

    def leave(self) -> None:
        """End whatever it waits for; what has begun is not stopped."""
        with self._guard:
            self._is_gone = True
            waits, self._waits = self._waits, []
        for end in waits:
            end()

    def stay(self) -> None:
        """Go on only for a client that is there.

        Raises:
            ClientDisconnectedError: it is not.
        """
        if self._is_gone:
            raise ClientDisconnectedError(WENT)

    @contextmanager
    def waits(self, end: Callable[[], object]) -> Iterator[None]:
        """While it waits in this block, `end` is called when it leaves.

        Raises:
            ClientDisconnectedError: it has left already.
        """
        with self._guard:
            self.stay()
            self._waits.append(end)
        try:
            yield
        finally:
            with self._guard:
                self._waits = [other for other in self._waits if other is not end]


@contextmanager
def asked_by(asker: Asker) -> Iterator[None]:
    """In this block, and in the threads that anyio starts from it, the asker is known."""
    token = _ASKER.set(asker)
    try:
        yield
    finally:
        _ASKER.reset(token)


def asker() -> Asker:
    """Who asks; outside of requests somebody who never leaves."""
    return _ASKER.get() or Asker()
