"""One GET of a file that may be too large, too slow, cut off, or refused for now."""

import time
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from typing import Final

import httpx2 as httpx

FAILURES: Final = (httpx.HTTPError, httpx.InvalidURL, httpx.StreamError, OSError)
"""What a server that is not well looks like from here."""


class BusyError(OSError):
    """The server asks us to come back later."""

    def __init__(self, message: str, retry_after_s: float) -> None:
        super().__init__(message)
        self.retry_after_s = retry_after_s


@dataclass(frozen=True)
class Answer:
    """Status, headers and body (None over the limit) of an answer."""

    status: int
    headers: Mapping[str, str]
    content: bytes | None

    def time_of(self, header: str) -> datetime | None:
        """A header's date; None where it has none that can be read."""
        return http_time(self.headers.get(header, ""))


def get(
    client: httpx.Client, url: str, *, max_bytes: int, deadline_s: float, headers: Mapping[str, str] | None = None
) -> Answer:
    """Ask for a file; no more than `max_bytes` of it are held at any time.

    Raises:
        BusyError: 429 or 503 with a Retry-After.
        httpx.HTTPError, OSError: 429, 5xx, no answer, a broken one, or one that takes longer than the deadline.
    """
    end_s = time.monotonic() + deadline_s
    with client.stream("GET", url, headers=headers or {}) as response:
        if response.is_server_error or response.status_code == httpx.codes.TOO_MANY_REQUESTS:
            retry_after_s = _seconds(response.headers)
            if retry_after_s is not None:
                raise BusyError(f"{response.status_code} for {url}; again in {retry_after_s:.0f} s", retry_after_s)
            response.raise_for_status()
        if int(response.headers.get("content-length", "0") or 0) > max_bytes:
            return Answer(response.status_code, response.headers, None)
        content = bytearray()
        for chunk in response.iter_bytes():
            content += chunk
            if len(content) > max_bytes:
                return Answer(response.status_code, response.headers, None)
            if time.monotonic() > end_s:
                raise TimeoutError(f"{url}: {len(content):,} bytes after {deadline_s:g} s; the whole file was due")
        return Answer(response.status_code, response.headers, bytes(content))


def http_time(text: str) -> datetime | None:
    """An HTTP date as aware UTC; None for anything else."""
    try:
        time_ = parsedate_to_datetime(text)
    except ValueError:
        return None
    return time_.replace(tzinfo=UTC) if time_.tzinfo is None else time_.astimezone(UTC)


def _seconds(headers: Mapping[str, str]) -> float | None:
    """Retry-After in seconds, whether it is a number or a date by the server's own clock."""
    said = headers.get("retry-after", "").strip()
    if said.isdigit():
        return float(said)
    then = http_time(said)
    now = http_time(headers.get("date", "")) or datetime.now(UTC)
    return max(0.0, (then - now).total_seconds()) if then else None
