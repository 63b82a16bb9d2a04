"""The two clients of the REST interface: one whose methods return their results, one for asyncio."""

import asyncio
import time
from collections.abc import Awaitable, Callable
from types import TracebackType
from typing import Any, Final, Self, TypeVar

import httpx2

from service.client.connection import BlockingWire, Connection, NonBlockingWire, ServiceError
from service.client.forecast import AsyncForecast, Forecast
from service.client.operation import Blocking, NonBlocking
from service.client.operations import Operations

LOCAL: Final = "http://127.0.0.1:8000"
H = TypeVar("H", httpx2.Client, httpx2.AsyncClient)


class Client(Operations[Forecast], Blocking):
    """Client of one service; as a context manager it closes its connections.

    Args:
        url: of the service.
        api_key: for services that require one.
        patience_s: total time for which a call retries while the service is busy (429) or not ready (503).
        timeout_s: time limit of one request.
        transport: transport of httpx2; None is the network.
        sleep: waits for a number of seconds; a test replaces it.
    """

    def __init__(
        self,
        url: str = LOCAL,
        api_key: str | None = None,
        *,
        patience_s: float = 60.0,
        timeout_s: float = 60.0,
        transport: httpx2.BaseTransport | None = None,
        sleep: Callable[[float], None] = time.sleep,
    ) -> None:
        http = _http(httpx2.Client, url, api_key, timeout=timeout_s, transport=transport)
        super().__init__(Connection(BlockingWire(http, sleep), patience_s), Forecast)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, err: BaseException | None, at: TracebackType | None) -> None:
        self.close()


class AsyncClient(Operations[AsyncForecast], NonBlocking):
    """Client of one service for asyncio: the methods of `Client`, to be awaited, and `async with`.

    Args:
        url: of the service.
        api_key: for services that require one.
        patience_s: total time for which a call retries while the service is busy (429) or not ready (503).
        timeout_s: time limit of one request.
        transport: transport of httpx2; None is the network.
        sleep: waits for a number of seconds; a test replaces it.
    """

    def __init__(
        self,
        url: str = LOCAL,
        api_key: str | None = None,
        *,
        patience_s: float = 60.0,
        timeout_s: float = 60.0,
        transport: httpx2.AsyncBaseTransport | None = None,
        sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
    ) -> None:
        http = _http(httpx2.AsyncClient, url, api_key, timeout=timeout_s, transport=transport)
        super().__init__(Connection(NonBlockingWire(http, sleep), patience_s), AsyncForecast)

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, err: BaseException | None, at: TracebackType | None
    ) -> None:
        await self.close()


def _http(kind: Callable[..., H], url: str, api_key: str | None, **options: Any) -> H:
    """Return a client of httpx2 for the URL of a service.

    Raises:
        ServiceError: the URL is none.
    """
    headers = {"X-API-Key": api_key} if api_key else {}
    try:
        return kind(base_url=url, headers=headers, **options)
    except (httpx2.InvalidURL, ValueError) as err:
        raise ServiceError(f"expected the URL of a service, got {url!r}: {err}") from err
