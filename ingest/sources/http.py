"""One GET request with limits on size and duration; a busy server is distinguished from a failing one."""

import time
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Final

import httpx2 as httpx

from core.retry import http_time, retry_after_s

FAILURES: Final = (httpx.HTTPError, httpx.InvalidURL, httpx.StreamError, OSError)
"""Errors of a request to a server that is down, overloaded or unreachable."""


class RetryAfterError(OSError):
    """The server is busy and states when to try again."""

    def __init__(self, message: str, retry_after_s: float) -> None:
        super().__init__(message)
        self.retry_after_s = retry_after_s


@dataclass(frozen=True)
class FetchedFile:
    """Status, headers and body (None if larger than the limit) of a response."""

    status: int
    headers: Mapping[str, str]
    content: bytes | None

    def time_of(self, header: str) -> datetime | None:
        """Return a header's date; None where it is missing or not a date."""
        return http_time(self.headers.get(header, ""))


def get(
    client: httpx.Client, url: str, *, max_bytes: int, deadline_s: float, headers: Mapping[str, str] | None = None
) -> FetchedFile:
    """Request a file; no more than `max_bytes` of it are held at any time.

    Raises:
        RetryAfterError: 429 or 5xx with a Retry-After.
        httpx.HTTPError, OSError: 429, 5xx, no response, a broken one, or one that takes longer than the deadline.
    """
    end_s = time.monotonic() + deadline_s
    with client.stream("GET", url, headers=headers or {}) as response:
        if response.is_server_error or response.status_code == httpx.codes.TOO_MANY_REQUESTS:
            wait_s = retry_after_s(response.headers)
            if wait_s is not None:
                raise RetryAfterError(f"{response.status_code} for {url}; again in {wait_s:.0f} s", wait_s)
            response.raise_for_status()
        if int(response.headers.get("content-length", "0") or 0) > max_bytes:
            return FetchedFile(response.status_code, response.headers, None)
        content = bytearray()
        for chunk in response.iter_bytes():
            content += chunk
            if len(content) > max_bytes:
                return FetchedFile(response.status_code, response.headers, None)
            if time.monotonic() > end_s:
                raise TimeoutError(
                    f"{url}: expected the whole file within {deadline_s:g} s, got {len(content):,} bytes"
                )
        return FetchedFile(response.status_code, response.headers, bytes(content))
