"""The web server's connections: bounded in number, and closed where a client is silent, slow, or does not read.

`uvicorn service.app:app --http service.process.connections:BoundedHttp`; `service.run` starts it so. Uvicorn itself
closes a connection that is idle after a response, but waits without end for a first request and for its headers.
"""

import asyncio
import resource
from collections import Counter
from typing import Any, ClassVar, Final

from uvicorn.protocols.http.auto import AutoHTTPProtocol

REQUEST_S: Final = 10.0
"""Longest time to the end of a request's headers, from the connection or from the end of the last response."""

STALLED_S: Final = 30.0
"""Longest time for which a client may read nothing of a response."""

PER_ADDRESS: Final = 256
FILES_KEPT: Final = 128
"""File handles that stay free for the work of the process."""

WANTED_FILES: Final = 8192

_Base: Any = AutoHTTPProtocol


def raise_file_limit(wanted: int = WANTED_FILES) -> int:
    """Raise the soft limit of open files as far as the hard one allows; return it."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    most = wanted if hard == resource.RLIM_INFINITY else min(wanted, hard)
    if soft < most:
        resource.setrlimit(resource.RLIMIT_NOFILE, (most, hard))
        soft = most
    return soft


class BoundedHttp(_Base):  # type: ignore[misc]
    """One connection of uvicorn's HTTP protocol, with limits."""

    open_by_address: ClassVar[Counter[str]] = Counter()
    most_open: ClassVar[int] = 0
    _stalled: asyncio.TimerHandle | None = None
    _timer: asyncio.TimerHandle | None = None
    _seen_cycle: Any = None
    _address = ""

    def connection_made(self, transport: asyncio.Transport) -> None:
        """Accept a connection, or close it at once where there are too many, of all or of one address."""
        super().connection_made(transport)
        kind, address = type(self), str((self.client or ("?", 0))[0])
        self._address = address
        kind.most_open = kind.most_open or max(1, raise_file_limit() - FILES_KEPT)
        kind.open_by_address[address] += 1
        self._look_later()
        if kind.open_by_address.total() > kind.most_open or kind.open_by_address[address] > PER_ADDRESS:
            transport.abort()

    def connection_lost(self, exc: Exception | None) -> None:
        """End the timers, and forget the connection."""
        for timer in (self._timer, self._stalled):
            if timer is not None:
                timer.cancel()
        found = type(self).open_by_address
        found[self._address] -= 1
        if found[self._address] <= 0:
            del found[self._address]
        super().connection_lost(exc)

    def pause_writing(self) -> None:
        """Begin to wait for a client that does not read its response."""
        super().pause_writing()
        self._stalled = self._stalled or asyncio.get_running_loop().call_later(STALLED_S, self.transport.abort)

    def resume_writing(self) -> None:
        """Continue the response."""
        if self._stalled is not None:
            self._stalled.cancel()
            self._stalled = None
        super().resume_writing()

    def _look(self) -> None:
        """Close the connection if no request has begun and none is in progress since the last look."""
        cycle = self.cycle
        is_idle = cycle is None or cycle.response_complete
        if is_idle and cycle is self._seen_cycle:
            self.transport.abort()
            return
        self._seen_cycle = cycle if is_idle else None
        self._look_later()

    def _look_later(self) -> None:
        self._timer = asyncio.get_running_loop().call_later(REQUEST_S, self._look)
