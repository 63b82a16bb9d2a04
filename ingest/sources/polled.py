"""A source that polls a server over HTTP: each new file is fetched once into an inbox and deleted once it is stored.

A kind of server adds how its files are listed (`PolledSource.listed`).
"""

from __future__ import annotations

import logging
import os
import random
import threading
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, TypeVar, cast

import httpx2 as httpx

from core.errors import UnavailableError
from core.files import write_bytes_atomically
from core.retry import RetryPolicy
from ingest.file_names import EVERYTHING
from ingest.sources.base import Arrival
from ingest.sources.http import FAILURES, FetchedFile, RetryAfterError, get, open_client
from ingest.sources.listing import Marks

if TYPE_CHECKING:
    from ingest.store.intake import Outcome

USER_AGENT: Final = "ms-rnn-nowcast/0.1 (radar ingest; one listing per poll, each file once)"
BACKFILL: Final = timedelta(minutes=150)
"""How far back files are fetched: the two hours of a window, and half an hour to score a first forecast."""

AHEAD: Final = timedelta(minutes=10)
"""A file whose time is later than the server's clock by more than this is ignored."""

SKEW: Final = timedelta(minutes=2)
MAX_SKEW: Final = timedelta(days=1)
"""If the server's clock differs by more than this, our own is used."""

MAX_TRIES: Final = 3
"""Attempts to read a file, which may have been fetched while the server was writing it."""

SHORTEST_POLL_S: Final = 15.0
MAX_LISTING_BYTES: Final = 8 * 2**20
MAX_FILE_BYTES: Final = 64 * 2**20
MAX_PAGES_KEPT: Final = 16
MAX_WAIT_S: Final = 300.0
MAX_RETRY_AFTER_S: Final = 3600.0
MARKS: Final = ".marks.json"
"""Name ending of the file next to the inbox that keeps the listing's entry of each file done."""

LOST: Final = "lost"
"""Mark of a file whose stored scans were lost: no listing has it, so that the file counts as changed."""

MAX_FAILED_FILES: Final = 2
"""After this many failed downloads in one look the server is considered down."""

T = TypeVar("T")
log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Offer:
    """A file that the server offers.

    Attributes:
        url: its address.
        name: of the fetched file in the inbox; unique on this server.
        mark: the listing's date and size, or tag: when it changes, the file has changed.
        cut: returns the part of its bytes that is kept; None keeps all.
    """

    url: str
    name: str
    mark: str
    cut: Callable[[bytes], bytes] | None = None


class PolledSource(ABC):
    """Polls listings, fetches each new file once into an inbox, and deletes it there once it is ingested.

    Args:
        url: root of the radar data on the server.
        inbox: a folder of our own; files that a crash left in it are ingested at the next start.
        known: whether a file of that name was ingested before.
        poll_s: seconds between two looks; longer and random while the server fails.
        clock: the present time.
        jitter: a number in [0, 1).
        timeout_s: for a connection and for each part of a response.
        deadline_s: for a whole response.
    """

    def __init__(
        self,
        url: str,
        inbox: Path,
        *,
        known: Callable[[str], bool],
        poll_s: float = 30.0,
        clock: Callable[[], datetime] = lambda: datetime.now(UTC),
        jitter: Callable[[], float] = random.random,
        timeout_s: float = 20.0,
        deadline_s: float = 120.0,
    ) -> None:
        self.name = url
        self._url, self._inbox, self._known = url.rstrip("/"), inbox, known
        self._poll_s, self._clock = poll_s, clock
        self._retry = RetryPolicy(2 * poll_s, MAX_WAIT_S, poll_s, MAX_RETRY_AFTER_S, jitter)
        self._pages: dict[str, tuple[dict[str, str], Any]] = {}
        self._timeout_s, self._deadline_s = timeout_s, deadline_s
        self._done = Marks(inbox.with_name(inbox.name + MARKS))  # the listing's mark of each file when it was done
        self._marks: dict[str, str] = {}
        self._tries: dict[tuple[str, str], int] = {}
        self._failures = 0
        self._retry_after_s: float | None = None
        self._ahead = timedelta()

    @abstractmethod
    def listed(self, client: httpx.Client) -> list[Offer]:
        """Return the files that the server offers, those that a forecast needs first: the newest ones.

        Raises:
            OSError, httpx.HTTPError: the server does not respond, or offers nothing.
        """

    def look(self) -> Iterator[Arrival]:
        """Yield new files, the newest first, so that a forecast is possible before older scans are complete."""
        inbox = sorted(self._inbox.glob("[!.]*")) if self._inbox.is_dir() else []
        yield from (Arrival(path, final=True) for path in inbox)
        try:
            with open_client(USER_AGENT, self._timeout_s) as client:
                yield from self._new_files(client)
        except FAILURES as err:
            self._failures += 1
            self._retry_after_s = err.retry_after_s if isinstance(err, RetryAfterError) else None
            raise UnavailableError(f"{self._url}: {type(err).__name__}: {err}") from err
        self._failures, self._retry_after_s = 0, None

    def settle(self, arrival: Arrival, outcome: Outcome | None) -> None:
        """Delete the copy in the inbox: it is in the store or the quarantine, or it is fetched once more."""
        if outcome is not None:
            arrival.path.unlink(missing_ok=True)
            if outcome.rejected is None or arrival.final:
                self._done.set(arrival.path.name, self._marks.get(arrival.path.name, ""))
                self._done.write()

    def offer_again(self, names: Sequence[str]) -> None:
        """Fetch the files of these names at the next look if the server still offers them."""
        names = self._done.names() if EVERYTHING in names else names
        for name in names:
            self._done.set(name, LOST)
        self._tries = {key: tries for key, tries in self._tries.items() if key[0] not in set(names)}
        self._done.write()

    def ticks(self, stop: threading.Event) -> Iterator[None]:
        """Yield at once, then every `poll_s`, or after growing waits while the server fails."""
        yield None
        while not stop.wait(self.wait_s):
            yield None

    @property
    def wait_s(self) -> float:
        """Return the seconds until the next look: longer with each failure, or what the server asks for."""
        return self._retry.wait_s(self._failures, self._retry_after_s) if self._failures else self._poll_s

    @property
    def longest_wait_s(self) -> float:
        """Return the seconds within which the next look follows; `wait_s` is a random one up to it."""
        return max(1.5 * MAX_WAIT_S, self._retry_after_s or 0.0) if self._failures else self._poll_s

    @property
    def fails(self) -> bool:
        """Return whether the last look failed."""
        return self._failures > 0

    @property
    def now(self) -> datetime:
        """Return the present by the server's clock, to which its files' times refer."""
        return self._clock() + self._ahead

    def page(self, client: httpx.Client, url: str, parse: Callable[[bytes], T]) -> T | None:
        """Return a parsed listing; the previous one if the server reports no change, None if there is no such page."""
        conditions, kept = self._pages.get(url, ({}, None))
        answer = get(client, url, max_bytes=MAX_LISTING_BYTES, deadline_s=self._deadline_s, headers=conditions)
        self._set_clock(answer)
        if answer.status == httpx.codes.NOT_MODIFIED:
            return cast(T | None, kept)
        if answer.status != httpx.codes.OK or answer.content is None:
            return None
        parsed = parse(answer.content)
        validators = (("If-None-Match", "etag"), ("If-Modified-Since", "last-modified"))
        conditions = {condition: answer.headers[name] for condition, name in validators if name in answer.headers}
        self._pages.pop(url, None)
        if conditions:
            self._pages[url] = conditions, parsed
            if len(self._pages) > MAX_PAGES_KEPT:
                del self._pages[next(iter(self._pages))]
        return parsed

    def _new_files(self, client: httpx.Client) -> Iterator[Arrival]:
        offers = self.listed(client)
        failed: list[Exception] = []
        for offer in offers:
            if not self._is_new(offer):
                continue
            try:
                arrival = self._arrival(client, offer)
            except RetryAfterError:
                raise
            except FAILURES as err:
                log.warning("download failed, is retried: %s: %s: %s", offer.name, type(err).__name__, err)
                failed.append(err)
                if len(failed) == MAX_FAILED_FILES:
                    break
                continue
            if arrival is not None:
                yield arrival
        names = {offer.name for offer in offers}
        self._done.keep(names)
        self._tries = {key: tries for key, tries in self._tries.items() if key[0] in names}
        self._done.write()
        if failed:
            raise failed[-1]

    def _is_new(self, offer: Offer) -> bool:
        """Return whether a file is new or has changed since it was done, by this run or an earlier one.

        If an earlier run ingested a file of this name but left no mark, the file counts as unchanged.
        """
        if not self._done.get(offer.name) and (offer.name in self._done or self._known(offer.name)):
            self._done.set(offer.name, offer.mark)
        return self._done.get(offer.name) != offer.mark

    def _arrival(self, client: httpx.Client, offer: Offer) -> Arrival | None:
        """Fetch a file into the inbox; None if the server does not have it, which is final after some attempts."""
        key = offer.name, offer.mark
        self._marks[offer.name] = offer.mark
        self._tries[key] = self._tries.get(key, 0) + 1
        last = self._tries[key] >= MAX_TRIES
        answer = get(client, offer.url, max_bytes=MAX_FILE_BYTES, deadline_s=self._deadline_s)
        if answer.status != httpx.codes.OK or answer.content is None:
            reason = "too large" if answer.content is None else "expected 200"
            log.warning("left out %s: status %d, %s", offer.name, answer.status, reason)
            if last or answer.content is None:
                self._done.set(offer.name, offer.mark)
            return None
        path = self._inbox / offer.name
        write_bytes_atomically(path, offer.cut(answer.content) if offer.cut else answer.content)
        issued_at = answer.time_of("last-modified")
        if issued_at is not None:
            os.utime(path, (issued_at.timestamp(), issued_at.timestamp()))
        return Arrival(path, final=last)

    def _set_clock(self, answer: FetchedFile) -> None:
        """Use the server's clock if it differs from ours, unless it is wrong by days."""
        theirs = answer.time_of("date")
        ahead = theirs - self._clock() if theirs else timedelta()
        ahead = ahead if SKEW < abs(ahead) < MAX_SKEW else timedelta()
        if abs(ahead - self._ahead) > SKEW:
            log.warning("the server's clock is %.0f s ahead of ours; its clock is used", ahead.total_seconds())
        self._ahead = ahead
