"""Requests that wait where the service says so, and errors in its own words."""

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
    """What the service answered instead; `problem` is its RFC 9457 document, `code` the HTTP status (0: no answer)."""

    def __init__(self, detail: str, code: int = 0, problem: dict[str, Any] | None = None) -> None:
        super().__init__(detail)
        self.code = code
        self.problem = problem or {}


class Connection:
    """One service and the key that it is asked with.

    Args:
        url: of the service.
        api_key: None asks without.
        patience_s: so long in all a request waits where the service is busy (429) or not ready (503).
        timeout_s: for one answer.
        transport: of httpx2; None is the network.
        sleep: waits; a test's own does not.
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
            raise ServiceError(f"{url!r} is no address of a service: {err}") from err
        self._patience_s = patience_s
        self._sleep = sleep

    def close(self) -> None:
        """Close the connections."""
        self._http.close()

    def request(self, method: str, path: str, **what: Any) -> httpx2.Response:
        """The answer.

        Raises:
            ServiceError: there is none, or it is an error that waiting does not mend.
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
        """An answer that does not end.

        Raises:
            ServiceError: it is an error.
        """
        with self._translated(), self._http.stream("GET", path, **what) as answer:
            if answer.is_error:
                answer.read()
            yield checked(answer)

    def pause(self, seconds: float) -> None:
        """Wait."""
        self._sleep(seconds)

    def _once(self, method: str, path: str, **what: Any) -> httpx2.Response:
        with self._translated():
            return self._http.request(method, path, **what)

    @contextmanager
    def _translated(self) -> Iterator[None]:
        try:
            yield
        except httpx2.UnsupportedProtocol as err:
            raise ServiceError(f"{self._http.base_url} is no address of a service: {err}") from err
        except httpx2.TransportError as err:
            raise ServiceError(f"no answer from {self._http.base_url}: {err or type(err).__name__}") from err


def _answer(state: RetryCallState) -> httpx2.Response:
    assert state.outcome is not None
    answer: httpx2.Response = state.outcome.result()
    return answer


def checked(answer: httpx2.Response) -> httpx2.Response:
    """The answer.

    Raises:
        ServiceError: it is an error.
    """
    if not answer.is_error:
        return answer
    problem: dict[str, Any] = {}
    if answer.headers.get("content-type", "").startswith("application/problem+json"):
        problem = answer.json()
    what = f"{answer.status_code} {problem.get('title', answer.reason_phrase)}"
    raise ServiceError(f"{what}: {problem.get('detail', answer.request.url.path)}", answer.status_code, problem)
