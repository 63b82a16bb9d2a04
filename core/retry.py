"""The one policy for calls over HTTP that may succeed later: the server's Retry-After, else growing random waits.

    policy = RetryPolicy(first_wait_s=2.0, longest_wait_s=300.0)
    policy.wait_s(failures=3)  # about 8 s: 2 s, doubled with each further failure in a row, times 0.5 to 1.5
    policy.wait_s(failures=3, retry_after_s=retry_after_s(response.headers))

Loops of attempts are tenacity's: `Retrying(wait=..., stop=..., sleep=...)` with a wait from here.
"""

import random
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime


@dataclass(frozen=True)
class RetryPolicy:
    """How long to wait before the next attempt.

    Attributes:
        first_wait_s: after one failure; doubles with each further failure in a row.
        longest_wait_s: no doubling beyond it.
        shortest_retry_after_s: a server that asks for less is asked again after this.
        longest_retry_after_s: a server that asks for more is asked again after this.
        jitter: a number in [0, 1): the wait is 0.5 to 1.5 times as long, so that many clients that failed together do
            not return together. 0.5 leaves it as it is.
    """

    first_wait_s: float
    longest_wait_s: float
    shortest_retry_after_s: float = 0.0
    longest_retry_after_s: float = 300.0
    jitter: Callable[[], float] = random.random

    def wait_s(self, failures: int, retry_after_s: float | None = None) -> float:
        """Return the seconds to wait after `failures` failures in a row (1 or more).

        Args:
            failures: in a row, the last one included.
            retry_after_s: what the server asked for, if it did; it replaces the growing wait.
        """
        if retry_after_s is not None:
            return min(max(retry_after_s, self.shortest_retry_after_s), self.longest_retry_after_s)
        doubled_s = min(self.first_wait_s * 2.0 ** (failures - 1), self.longest_wait_s)
        return doubled_s * (0.5 + self.jitter())


def retry_after_s(headers: Mapping[str, str]) -> float | None:
    """Return the seconds of `Retry-After` (RFC 9110, 10.2.3), a number or a date by the server's own clock.

    None where the header is missing or neither of both. The mapping ignores case, as httpx's do.
    """
    text = headers.get("retry-after", "").strip()
    if text.isascii() and text.isdigit():
        return float(text)
    then = http_time(text)
    now = http_time(headers.get("date", "")) or datetime.now(UTC)
    return max(0.0, (then - now).total_seconds()) if then else None


def http_time(text: str) -> datetime | None:
    """Return an HTTP date as aware UTC; None for any other text."""
    try:
        time = parsedate_to_datetime(text)
    except ValueError:
        return None
    return time.replace(tzinfo=UTC) if time.tzinfo is None else time.astimezone(UTC)
