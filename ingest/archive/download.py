"""Downloads over HTTP with little load on the server: one connection, resumed after breaks, with growing waits."""

import logging
import random
import time
from collections.abc import Callable
from typing import Final, TypeVar

import httpx2 as httpx
from tenacity import RetryCallState, RetryError, Retrying, retry_if_exception_type

from core.errors import NoDataError, UnavailableError
from core.retry import RetryPolicy, retry_after_s
from ingest.archive.partial import PartialDownload, RemoteFile
from ingest.sources.http import open_client

MAX_FAILURES: Final = 8
"""Failures in a row, without a byte received in between."""

FIRST_WAIT_S: Final = 2.0
MAX_WAIT_S: Final = 300.0
TIMEOUT_S: Final = 60.0
TOO_BUSY: Final = (408, 425, 429)
ABSENT: Final = (403, 404, 410)
"""An object store that may not be listed answers 403 for objects that do not exist."""

T = TypeVar("T")
log = logging.getLogger(__name__)


class Downloader:
    """Downloads one file at a time over one connection.

    Args:
        user_agent: sent to the server.
        wait: waits for a number of seconds.
        jitter: a number in [0, 1).
    """

    def __init__(
        self,
        user_agent: str,
        *,
        wait: Callable[[float], None] = time.sleep,
        jitter: Callable[[], float] = random.random,
    ) -> None:
        self._client = open_client(user_agent, TIMEOUT_S)
        self._wait, self._policy = wait, RetryPolicy(FIRST_WAIT_S, MAX_WAIT_S, jitter=jitter)

    def close(self) -> None:
        """Close the connection to the server."""
        self._client.close()

    def content(self, url: str) -> bytes:
        """Return a small file's content.

        Raises:
            NoDataError: the server has no such file.
            UnavailableError: the server fails again and again, or redirects to another one.
        """
        return self._patiently(url, lambda: _checked(self._client.get(url), url).content)

    def size_bytes(self, url: str) -> int | None:
        """Return a file's size as the server states it, None if it does not; errors as of `content`."""
        head = {"Accept-Encoding": "identity"}
        answer = self._patiently(url, lambda: _checked(self._client.head(url, headers=head), url))
        length = answer.headers.get("content-length")
        return int(length) if length is not None else None

    def fetch(self, file: RemoteFile, on_bytes: Callable[[int], None] = lambda _: None) -> None:
        """Download a file unless it exists; the part received before a break is kept, also over a restart.

        Args:
            file: to download.
            on_bytes: called from time to time with the number of bytes received since the last call.

        Raises:
            NoDataError: the server has no such file.
            UnavailableError: the server fails again and again, or sends other bytes than the source states.
        """
        if file.is_there:
            return
        file.path.parent.mkdir(parents=True, exist_ok=True)
        part = PartialDownload(file)
        self._patiently(file.url, lambda: self._more(part, on_bytes), progress=lambda: part.size_bytes)
        part.finish()

    def _more(self, part: PartialDownload, on_bytes: Callable[[int], None]) -> None:
        with self._client.stream("GET", part.file.url, headers=part.headers()) as response:
            if response.status_code == httpx.codes.RANGE_NOT_SATISFIABLE:
                if part.is_whole(response):
                    return
                part.drop()
                raise httpx.ReadError("the part received before does not belong to the file any more")
            _checked(response, part.file.url)
            part.begin(response)
            with part.path.open("ab") as written:
                for chunk in response.iter_raw():
                    written.write(chunk)
                    on_bytes(len(chunk))
        part.check_length()

    def _patiently(self, url: str, work: Callable[[], T], progress: Callable[[], int] = lambda: 0) -> T:
        """Retry until the work succeeds; an attempt that made progress resets the count of failures in a row."""
        failures, before = 0, progress()

        def count(_: RetryCallState) -> None:
            nonlocal failures, before
            failures, before = (1 if progress() > before else failures + 1), progress()

        def log_failure(state: RetryCallState) -> None:
            log.warning("%s: %s; again in %.0f s", url, _error(state), state.upcoming_sleep)

        retrying = Retrying(
            retry=retry_if_exception_type((httpx.HTTPError, httpx.StreamError, OSError)),
            after=count,
            wait=lambda state: self._policy.wait_s(failures, _retry_after_s(state)),
            stop=lambda _: failures > MAX_FAILURES,
            before_sleep=log_failure,
            sleep=self._wait,
        )
        try:
            return retrying(work)
        except RetryError as err:
            last = err.last_attempt.exception()
            raise UnavailableError(f"{url}: {type(last).__name__}: {last}; {failures} failures in a row") from last


def _error(state: RetryCallState) -> BaseException | None:
    return state.outcome.exception() if state.outcome else None


def _retry_after_s(state: RetryCallState) -> float | None:
    err = _error(state)
    return retry_after_s(err.response.headers) if isinstance(err, httpx.HTTPStatusError) else None


def _checked(response: httpx.Response, url: str) -> httpx.Response:
    if response.status_code in ABSENT:
        raise NoDataError(f"{url}: expected a file, got status {response.status_code}")
    if response.is_server_error or response.status_code in TOO_BUSY:
        response.raise_for_status()
    if response.status_code not in (httpx.codes.OK, httpx.codes.PARTIAL_CONTENT):
        raise UnavailableError(f"{url}: expected status 200, got {response.status_code}")
    return response
