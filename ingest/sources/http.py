"""The client of all sources and downloads, and one GET request with limits on size and duration.

A busy server is distinguished from a failing one, and a redirect is followed only to where the request went anyway.
"""

import time
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Final

import httpx2 as httpx

from core.errors import UnavailableError
from core.retry import http_time, retry_after_s


class RedirectError(UnavailableError):
    """The server redirects to another host, to another port or to an unencrypted connection."""


FAILURES: Final = (httpx.HTTPError, httpx.InvalidURL, httpx.StreamError, OSError, RedirectError)
"""Errors of a request to a server that is down, overloaded or unreachable, or that redirects elsewhere."""


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


def open_client(user_agent: str, timeout_s: float) -> httpx.Client:
    """Return a client of one connection that follows redirects within one server only (`check_redirect`).

    Args:
        user_agent: sent to the server.
        timeout_s: for a connection and for each part of a response.
    """
    return httpx.Client(
        headers={"User-Agent": user_agent},
        timeout=timeout_s,
        follow_redirects=True,
        event_hooks={"response": [check_redirect]},
        limits=httpx.Limits(max_connections=1),
    )


def check_redirect(response: httpx.Response) -> None:
    """Refuse a redirect away from the server that was requested, which also keeps credentials and requests there.

    Raises:
        RedirectError: the target is another host or port, or is not encrypted although the request was.
    """
    if not response.has_redirect_location:
        return
    source, target = response.request.url, response.request.url.join(response.headers["location"])
    if not is_within(source, target):
        raise RedirectError(
            f"{source}: expected redirects to the same host over the same or a safer scheme, got one to {target}"
        )


def is_within(source: httpx.URL, target: httpx.URL) -> bool:
    """Return whether a target is on the host of a source, over the same scheme and port or over https instead."""
    if source.host != target.host:
        return False
    upgraded = (source.scheme, target.scheme) == ("http", "https")
    return upgraded or (source.scheme, source.port) == (target.scheme, target.port)


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
