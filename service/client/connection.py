"""Requests that retry as the service asks, and errors with its problem documents; one wire blocks, one does not."""

import asyncio
import time
from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable, Iterator
from contextlib import AbstractAsyncContextManager, aclosing, asynccontextmanager, contextmanager
from typing import Any, Final, Protocol

import httpx2
from tenacity import AsyncRetrying, RetryCallState, retry_if_result

from core.errors import NowcastError
from core.retry import RetryPolicy, retry_after_s

WAITING: Final = (429, 503)
POLICY: Final = RetryPolicy(1.0, 1.0, shortest_retry_after_s=0.5, longest_retry_after_s=60.0, jitter=lambda: 0.5)
"""The service states in every 429 and 503 when to return; 1 s is for a proxy in front of it that does not."""


class ServiceError(NowcastError):
    """An error response of the service, or no response; its text is that of the problem document.

    Attributes:
        code: HTTP status; 0 without a response.
        problem: its RFC 9457 document.
    """

    def __init__(self, detail: str, code: int = 0, problem: dict[str, Any] | None = None) -> None:
        super().__init__(detail)
        self.code = code
        self.problem = problem or {}


class Wire(Protocol):
    """How requests travel; the coroutines of `BlockingWire` never wait for an event loop."""

    @property
    def base_url(self) -> httpx2.URL:
        """Return the URL of the service."""

    async def send(self, method: str, path: str, **what: Any) -> httpx2.Response:
        """Return the response to a request, with its content."""

    def open(self, path: str, **what: Any) -> AbstractAsyncContextManager[httpx2.Response]:
        """Open a response; the content of an error is read."""

    def events(self, answer: httpx2.Response) -> AsyncGenerator[httpx2.ServerSentEvent, None]:
        """Yield the events of an open response."""

    async def sleep(self, seconds: float) -> None:
        """Wait for a number of seconds."""

    async def close(self) -> None:
        """Close the connections."""


class BlockingWire:
    """Wire of the blocking client."""

    def __init__(self, http: httpx2.Client, sleep: Callable[[float], None] = time.sleep) -> None:
        self._http = http
        self._sleep = sleep

    @property
    def base_url(self) -> httpx2.URL:
        """Return the URL of the service."""
        return self._http.base_url

    async def send(self, method: str, path: str, **what: Any) -> httpx2.Response:
        """Return the response to a request, with its content."""
        return self._http.request(method, path, **what)

    @asynccontextmanager
    async def open(self, path: str, **what: Any) -> AsyncIterator[httpx2.Response]:
        """Open a response; the content of an error is read."""
        with self._http.stream("GET", path, **what) as answer:
            if answer.is_error:
                answer.read()
            yield answer

    async def events(self, answer: httpx2.Response) -> AsyncGenerator[httpx2.ServerSentEvent, None]:
        """Yield the events of an open response."""
        for event in httpx2.EventSource(answer):
            yield event

    async def sleep(self, seconds: float) -> None:
        """Wait for a number of seconds."""
        self._sleep(seconds)

    async def close(self) -> None:
        """Close the connections."""
        self._http.close()


class NonBlockingWire:
    """Wire of the client for asyncio."""

    def __init__(self, http: httpx2.AsyncClient, sleep: Callable[[float], Awaitable[None]] = asyncio.sleep) -> None:
        self._http = http
        self._sleep = sleep

    @property
    def base_url(self) -> httpx2.URL:
        """Return the URL of the service."""
        return self._http.base_url

    async def send(self, method: str, path: str, **what: Any) -> httpx2.Response:
        """Return the response to a request, with its content."""
        return await self._http.request(method, path, **what)

    @asynccontextmanager
    async def open(self, path: str, **what: Any) -> AsyncIterator[httpx2.Response]:
        """Open a response; the content of an error is read."""
        async with self._http.stream("GET", path, **what) as answer:
            if answer.is_error:
                await answer.aread()
            yield answer

    async def events(self, answer: httpx2.Response) -> AsyncGenerator[httpx2.ServerSentEvent, None]:
        """Yield the events of an open response."""
        async for event in httpx2.EventSource(answer):
            yield event

    async def sleep(self, seconds: float) -> None:
        """Wait for a number of seconds."""
        await self._sleep(seconds)

    async def close(self) -> None:
        """Close the connections."""
        await self._http.aclose()


class Connection:
    """Connection to one service.

    Args:
        wire: how requests travel.
        patience_s: total time for which a request retries while the service is busy (429) or not ready (503).
    """

    def __init__(self, wire: Wire, patience_s: float) -> None:
        self.wire = wire
        self._patience_s = patience_s

    async def request(self, method: str, path: str, **what: Any) -> httpx2.Response:
        """Return the response of the service.

        Raises:
            ServiceError: no response, or an error that retrying does not resolve.
        """
        retrying = AsyncRetrying(
            retry=retry_if_result(lambda answer: answer.status_code in WAITING),
            wait=lambda state: POLICY.wait_s(state.attempt_number, retry_after_s(_answer(state).headers)),
            stop=lambda state: state.idle_for + state.upcoming_sleep > self._patience_s,
            retry_error_callback=_answer,
            sleep=self.wire.sleep,
        )
        with self._translated():
            answer: httpx2.Response = await retrying(self.wire.send, method, path, **what)
        return checked(answer)

    async def content(self, path: str, **params: Any) -> bytes:
        """Return the content of a GET; parameters that are None are left out.

        Raises:
            ServiceError: an error response, or none.
        """
        given = {name: value for name, value in params.items() if value is not None}
        # an empty query would remove that of a link
        return (await self.request("GET", path, params=given or None)).content

    async def events(self, path: str, **what: Any) -> AsyncGenerator[httpx2.ServerSentEvent, None]:
        """Yield the events of a response that does not end.

        Raises:
            ServiceError: an error response, or none.
        """
        with self._translated():
            async with (
                self.wire.open(path, **what) as answer,
                aclosing(self.wire.events(checked(answer))) as events,
            ):
                async for event in events:
                    yield event

    def path_of(self, link: str) -> str:
        """Return the path of a link below the service's URL: behind a proxy, links begin with the path of that URL."""
        prefix = self.wire.base_url.path.rstrip("/")
        return link.removeprefix(prefix) if link.startswith(f"{prefix}/") else link

    @contextmanager
    def _translated(self) -> Iterator[None]:
        try:
            yield
        except httpx2.UnsupportedProtocol as err:
            raise ServiceError(f"expected the URL of a service, got {self.wire.base_url}: {err}") from err
        except httpx2.TransportError as err:
            raise ServiceError(f"no response from {self.wire.base_url}: {err or type(err).__name__}") from err


def _answer(state: RetryCallState) -> httpx2.Response:
    assert state.outcome is not None
    answer: httpx2.Response = state.outcome.result()
    return answer


def checked(answer: httpx2.Response) -> httpx2.Response:
    """Return the response if it is not an error.

    Raises:
        ServiceError: it is one.
    """
    if not answer.is_error:
        return answer
    problem: dict[str, Any] = {}
    if answer.headers.get("content-type", "").startswith("application/problem+json"):
        problem = answer.json()
    what = f"{answer.status_code} {problem.get('title', answer.reason_phrase)}"
    raise ServiceError(f"{what}: {problem.get('detail', answer.request.url.path)}", answer.status_code, problem)
