"""How long the request in hand may still wait: set once where it comes in, known wherever it queues."""

import time
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Final

from core.asker import asker
from core.errors import BusyError

_GIVE_UP_AT: Final[ContextVar[float | None]] = ContextVar("give_up_at", default=None)


@contextmanager
def due_within(limit_s: float) -> Iterator[None]:
    """Whatever is waited for in this block is waited for so long at most; threads started by anyio are told too."""
    token = _GIVE_UP_AT.set(time.monotonic() + limit_s)
    try:
        yield
    finally:
        _GIVE_UP_AT.reset(token)


def give_up_at() -> float | None:
    """On the clock `time.monotonic`; None where nobody set a limit."""
    return _GIVE_UP_AT.get()


def remaining_s(what: str) -> float | None:
    """Seconds that may still be waited; None is without limit.

    Raises:
        BusyError: none are left.
        ClientDisconnectedError: nobody waits any more.
    """
    asker().stay()
    at = give_up_at()
    if at is None:
        return None
    left_s = at - time.monotonic()
    if left_s <= 0:
        raise BusyError(f"the request's time was over before {what}; the service is busy")
    return left_s
