"""The web server's connections: bounded in number and cost, closed where a client is silent, slow, or does not read.

`uvicorn service.app:app --http service.process.connections:BoundedHttp`; `service.run` starts it so. Uvicorn itself
closes a connection that is idle after a response, but waits without end for a first request and for its headers.

Whatever other packages are installed, requests are read by h11, which limits the size of headers, and none becomes a
WebSocket, whose connection nothing here would count.
"""

import asyncio
import resource
from collections import Counter
from typing import Any, ClassVar, Final

import h11
from uvicorn.protocols.http.h11_impl import H11Protocol

REQUEST_S: Final = 10.0
"""Longest time to the end of a request's headers, from the connection or from the end of the last response."""

STALLED_S: Final = 30.0
"""Longest time for which a client may read nothing of a response."""

PER_ADDRESS: Final = 256
FILES_KEPT: Final = 128
"""File handles that stay free for the work of the process."""

WANTED_FILES: Final = 8192
SMALL_CHUNKS: Final = 2048
"""Chunks of one body that may have less than `SMALL_BYTES` on average: each takes the event loop 13 us, of one byte or
of thousands, so that a client with many would delay all others."""

SMALL_BYTES: Final = 64

_Base: Any = H11Protocol


def raise_file_limit(wanted: int = WANTED_FILES) -> int:
    """Raise the soft limit of open files as far as the hard one allows; return it."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    most = wanted if hard == resource.RLIM_INFINITY else min(wanted, hard)
    if soft < most:
        resource.setrlimit(resource.RLIMIT_NOFILE, (most, hard))
        soft = most
    return soft


class ChunkCounter(h11.Connection):
    """The parser of one connection; after too many small chunks of a body it is wasteful, and reads no further."""

    is_wasteful = False
    _chunks = _bytes = 0

    def next_event(self) -> Any:
        """Return what the client sent next."""
        event = h11.NEED_DATA if self.is_wasteful else super().next_event()
        if isinstance(event, h11.Request):
            self._chunks = self._bytes = 0
        elif isinstance(event, h11.Data):
            self._chunks += 1
            self._bytes += len(event.data)
            self.is_wasteful = self._chunks > SMALL_CHUNKS and self._bytes < SMALL_BYTES * self._chunks
        return event


class BoundedHttp(_Base):  # type: ignore[misc]
    """One connection of uvicorn's HTTP protocol, with limits."""

    open_by_address: ClassVar[Counter[str]] = Counter()
    most_open: ClassVar[int] = 0
    _stalled: asyncio.TimerHandle | None = None
    _timer: asyncio.TimerHandle | None = None
    _seen_cycle: Any = None
    _address = ""

    def __init__(self, config: Any, *others: Any, **named: Any) -> None:
        super().__init__(config, *others, **named)
        self.conn = ChunkCounter(h11.SERVER)

    def data_received(self, data: bytes) -> None:
        """Read what the client sent; end the connection where its body costs more than it holds."""
        super().data_received(data)
        if self.conn.is_wasteful:
            self.transport.abort()

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

    def _should_upgrade(self) -> bool:
        return False

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
