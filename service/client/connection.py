"""Requests that retry as the service asks, and errors with its problem documents."""

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, Final

import httpx2
from tenacity import RetryCallState, Retrying, retry_if_result

from core.errors import NowcastError
from core.retry import RetryPolicy, retry_after_s

WAITING: Final = (429, 503)
POLICY: Final = RetryPolicy(1.0, 1.0, shortest_retry_after_s=0.5, longest_retry_after_s=60.0, jitter=lambda: 0.5)
"""The service states in every 429 and 503 when to return; 1 s is for a proxy in front of it that does not."""


class ServiceError(NowcastError):
    """An error response of the service, or no response.

    Attributes:
        code: HTTP status; 0 without a response.
        problem: its RFC 9457 document.
    """

    def __init__(self, detail: str, code: int = 0, problem: dict[str, Any] | None = None) -> None:
        super().__init__(detail)
        self.code = code
        self.problem = problem or {}


class Connection:
    """Connection to one service, with an optional API key.

    Args:
        url: of the service.
        api_key: None for none.
        patience_s: total time for which a request retries while the service is busy (429) or not ready (503).
        timeout_s: time limit of one request.
        transport: transport of httpx2; None is the network.
        sleep: waits for a number of seconds; a test replaces it.
    """

    def __init__(
        self,
        url: str,
        api_key: str | None,
        *,
        patience_s: float,
        timeout_s: float,
        transport: httpx2.BaseTransport | None = None,
        sleep: Callable[[float], None] = time.sleep,
    ) -> None:
        headers = {"X-API-Key": api_key} if api_key else {}
        try:
            self._http = httpx2.Client(base_url=url, headers=headers, timeout=timeout_s, transport=transport)
        except (httpx2.InvalidURL, ValueError) as err:
            raise ServiceError(f"expected the URL of a service, got {url!r}: {err}") from err
        self._patience_s = patience_s
        self._sleep = sleep

    def close(self) -> None:
        """Close the connections."""
        self._http.close()

    def request(self, method: str, path: str, **what: Any) -> httpx2.Response:
        """Return the response of the service.

        Raises:
            ServiceError: no response, or an error that retrying does not resolve.
        """
        retrying = Retrying(
            retry=retry_if_result(lambda answer: answer.status_code in WAITING),
            wait=lambda state: POLICY.wait_s(state.attempt_number, retry_after_s(_answer(state).headers)),
            stop=lambda state: state.idle_for + state.upcoming_sleep > self._patience_s,
            retry_error_callback=_answer,
            sleep=self._sleep,
        )
        return checked(retrying(self._once, method, path, **what))

    @contextmanager
    def stream(self, path: str, **what: Any) -> Iterator[httpx2.Response]:
        """Open a response that does not end.

        Raises:
            ServiceError: an error response, or none.
        """
        with self._translated(), self._http.stream("GET", path, **what) as answer:
            if answer.is_error:
                answer.read()
            yield checked(answer)

    def path_of(self, link: str) -> str:
        """Return the path of a link below the service's URL: behind a proxy, links begin with the path of that URL."""
        prefix = self._http.base_url.path.rstrip("/")
        return link.removeprefix(prefix) if link.startswith(f"{prefix}/") else link

    def pause(self, seconds: float) -> None:
        """Wait for a number of seconds."""
        self._sleep(seconds)

    def _once(self, method: str, path: str, **what: Any) -> httpx2.Response:
        with self._translated():
            return self._http.request(method, path, **what)

    @contextmanager
    def _translated(self) -> Iterator[None]:
        try:
            yield
        except httpx2.UnsupportedProtocol as err:
            raise ServiceError(f"expected the URL of a service, got {self._http.base_url}: {err}") from err
        except httpx2.TransportError as err:
            raise ServiceError(f"no response from {self._http.base_url}: {err or type(err).__name__}") from err


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
