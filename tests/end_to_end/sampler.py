"""A client that reads through a web server from a thread all the time, and what it got."""

import threading
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, Final

import httpx2

from tests.web_servers import get

EVERY_S: Final = 0.25
PATHS: Final = (
    *("/", "/livez", "/scans", "/nowcast/latest", "/nowcast/latest/point?lat=51.2&lon=9.5", "/nowcast?limit=5"),
    *("/nowcast/latest/image/30.png", "/observed", "/tiles", "/rules", "/verification"),
)
STATE: Final = "/readyz"
"""It says what is not ready, as it should while parts are away: counted apart."""


@dataclass
class Sampler:
    """Reads the paths in turn.

    Attributes:
        client: of the web server.
        headers: of each request.
        counts: answers by status, 0 for a failed connection.
        ready: the same of `/readyz`.
        failed: requests without the answer 200, in words.
        gap_s: longest time from one 200 to the next.
    """

    client: httpx2.Client
    headers: dict[str, str]
    counts: Counter[int] = field(default_factory=Counter)
    ready: Counter[int] = field(default_factory=Counter)
    failed: list[str] = field(default_factory=list)
    gap_s: float = 0.0

    def __post_init__(self) -> None:
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._work, daemon=True)

    def __enter__(self) -> "Sampler":
        self._began_s = self._last_s = time.monotonic()
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        self._thread.join()

    def figures(self) -> dict[str, Any]:
        by_status = {str(status): count for status, count in sorted(self.counts.items())}
        return {"requests": self.counts.total(), "by_status": by_status, "longest_gap_s": round(self.gap_s, 2)}

    def _work(self) -> None:
        number = 0
        while not self._stop.wait(EVERY_S):
            path = (*PATHS, STATE)[number % (len(PATHS) + 1)]
            status, words = self._ask(path)
            number += 1
            if path == STATE:
                self.ready[status] += 1
                continue
            self.counts[status] += 1
            now_s = time.monotonic()
            if status == 200:
                self.gap_s, self._last_s = max(self.gap_s, now_s - self._last_s), now_s
            else:
                self.failed.append(f"{now_s - self._began_s:.1f} s: {path}: {status} {words}")

    def _ask(self, path: str) -> tuple[int, str]:
        try:
            answer = get(self.client, path, headers=self.headers)
        except httpx2.HTTPError as err:
            return 0, f"{type(err).__name__}: {err}"
        return answer.status_code, "" if answer.status_code == 200 else answer.text[:300]


def patient(look: Callable[[], Any]) -> Callable[[], Any]:
    """A look that finds nothing where the connection fails."""

    def looked() -> Any:
        try:
            return look()
        except httpx2.HTTPError:
            return None

    return looked
