"""DWD's open data: new scans of RY, the analyses of RV if RY is missing or late, and hours of RW on request."""

from __future__ import annotations

import io
import logging
import os
import random
import tarfile
import threading
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Final

import httpx2 as httpx

from core.errors import UnavailableError
from core.files import write_bytes_atomically
from core.retry import RetryPolicy
from ingest.sources.base import SOURCES, Arrival, SourceContext
from ingest.sources.http import FAILURES, FetchedFile, RetryAfterError, get, open_client
from ingest.sources.listing import RV, RW, RY, Marks, Product, Remote, files_of

if TYPE_CHECKING:
    from ingest.store.intake import Outcome

USER_AGENT: Final = "ms-rnn-nowcast/0.1 (radar ingest; one listing per poll, each file once)"
BACKFILL: Final = timedelta(minutes=150)
"""How far back files are fetched: the two hours of a window, and half an hour to score a first forecast."""

LATE: Final = timedelta(minutes=20)
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
MAX_WAIT_S: Final = 300.0
MAX_RETRY_AFTER_S: Final = 3600.0
MARKS: Final = ".marks.json"
"""Name ending of the file next to the inbox that keeps the listing's entry of each file done."""

MAX_FAILED_FILES: Final = 2
"""After this many failed downloads in one look the server is considered down."""

log = logging.getLogger(__name__)


class DwdSource:
    """Polls the listings, fetches each new file once into an inbox, and deletes it there once it is ingested.

    Args:
        url: root of the radar data on the server.
        inbox: a folder of our own; files that a crash left in it are ingested at the next start.
        known: whether a file of that name was ingested before.
        poll_s: seconds between two looks; longer and random while the server fails.
        hourly: fetch RW too, the hourly sums adjusted to rain gauges.
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
        hourly: bool = False,
        clock: Callable[[], datetime] = lambda: datetime.now(UTC),
        jitter: Callable[[], float] = random.random,
        timeout_s: float = 20.0,
        deadline_s: float = 120.0,
    ) -> None:
        self.name = url
        self._url, self._inbox, self._known = url.rstrip("/"), inbox, known
        self._poll_s, self._hourly, self._clock = poll_s, hourly, clock
        self._retry = RetryPolicy(2 * poll_s, MAX_WAIT_S, poll_s, MAX_RETRY_AFTER_S, jitter)
        self._listings: dict[str, tuple[dict[str, str], list[Remote]]] = {}
        self._timeout_s, self._deadline_s = timeout_s, deadline_s
        self._done = Marks(inbox.with_name(inbox.name + MARKS))  # the listing's mark of each file when it was done
        self._marks: dict[str, str] = {}
        self._tries: dict[tuple[str, str], int] = {}
        self._failures = 0
        self._retry_after_s: float | None = None
        self._ahead = timedelta()

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
    def now(self) -> datetime:
        """Return the present by the server's clock, to which its files' times refer."""
        return self._clock() + self._ahead

    def _new_files(self, client: httpx.Client) -> Iterator[Arrival]:
        listed = self._listed(client)
        failed: list[Exception] = []
        for product, file in listed:
            if not self._is_new(product.local_name(file), file):
                continue
            try:
                arrival = self._arrival(client, product, file)
            except RetryAfterError:
                raise
            except FAILURES as err:
                log.warning("download failed, is retried: %s: %s: %s", file.name, type(err).__name__, err)
                failed.append(err)
                if len(failed) == MAX_FAILED_FILES:
                    break
                continue
            if arrival is not None:
                yield arrival
        names = {product.local_name(file) for product, file in listed}
        self._done.keep(names)
        self._tries = {key: tries for key, tries in self._tries.items() if key[0] in names}
        self._done.write()
        if failed:
            raise failed[-1]

    def _is_new(self, name: str, file: Remote) -> bool:
        """Return whether a file is new or has changed since it was done, by this run or an earlier one.

        If an earlier run ingested a file of this name but left no mark, the file counts as unchanged.
        """
        if not self._done.get(name) and (name in self._done or self._known(name)):
            self._done.set(name, file.mark)
        return self._done.get(name) != file.mark

    def _arrival(self, client: httpx.Client, product: Product, file: Remote) -> Arrival | None:
        """Fetch a file into the inbox; None if the server does not have it, which is final after some attempts."""
        name = product.local_name(file)
        key = name, file.mark
        self._marks[name] = file.mark
        self._tries[key] = self._tries.get(key, 0) + 1
        last = self._tries[key] >= MAX_TRIES
        answer = self._fetch(client, product, file)
        if answer.status != httpx.codes.OK or answer.content is None:
            reason = "too large" if answer.content is None else "expected 200"
            log.warning("left out %s: status %d, %s", file.name, answer.status, reason)
            if last or answer.content is None:
                self._done.set(name, file.mark)
            return None
        path = self._inbox / name
        write_bytes_atomically(path, first_member(answer.content) if product.first_member else answer.content)
        issued_at = answer.time_of("last-modified")
        if issued_at is not None:
            os.utime(path, (issued_at.timestamp(), issued_at.timestamp()))
        return Arrival(path, final=last)

    def _listed(self, client: httpx.Client) -> list[tuple[Product, Remote]]:
        """Return the files to fetch, the newest first; hours of RW after what a forecast waits for."""
        product, files = self._newest_product(client)
        hours = self._recent(self._list(client, RW)) if self._hourly else []
        return [(product, file) for file in reversed(files)] + [(RW, file) for file in reversed(hours)]

    def _newest_product(self, client: httpx.Client) -> tuple[Product, list[Remote]]:
        """Return RY if its newest file is recent, else the product with the newest file."""
        ry = self._list(client, RY)
        if ry and self.now - ry[-1].time <= LATE:
            return RY, self._recent(ry)
        rv = self._list(client, RV)
        if rv and (not ry or rv[-1].time > ry[-1].time):
            log.warning("RY is %s; taking the analyses of RV", "late" if ry else "not there")
            return RV, self._recent(rv)
        if not ry:
            raise FileNotFoundError(f"{self._url}: expected radar files, got no file in {RY.folder}/ and {RV.folder}/")
        return RY, self._recent(ry)

    def _recent(self, files: list[Remote]) -> list[Remote]:
        return [file for file in files if file.time >= files[-1].time - BACKFILL]  # an empty list stays empty

    def _list(self, client: httpx.Client, product: Product) -> list[Remote]:
        """Return the product's files; the previous ones if the server reports no change, none if it has no listing."""
        url = f"{self._url}/{product.folder}/"
        conditions, files = self._listings.get(url, ({}, []))
        answer = get(client, url, max_bytes=MAX_LISTING_BYTES, deadline_s=self._deadline_s, headers=conditions)
        self._set_clock(answer)
        if answer.status == httpx.codes.NOT_MODIFIED:
            return files
        if answer.status != httpx.codes.OK or answer.content is None:
            return []
        latest = self.now + AHEAD
        page = answer.content.decode("utf-8", "replace")
        files = [file for file in files_of(product, page) if file.time <= latest]
        validators = (("If-None-Match", "etag"), ("If-Modified-Since", "last-modified"))
        conditions = {condition: answer.headers[name] for condition, name in validators if name in answer.headers}
        self._listings[url] = (conditions, files)
        return files

    def _set_clock(self, answer: FetchedFile) -> None:
        """Use the server's clock if it differs from ours, unless it is wrong by days."""
        theirs = answer.time_of("date")
        ahead = theirs - self._clock() if theirs else timedelta()
        ahead = ahead if SKEW < abs(ahead) < MAX_SKEW else timedelta()
        if abs(ahead - self._ahead) > SKEW:
            log.warning("the server's clock is %.0f s ahead of ours; its clock is used", ahead.total_seconds())
        self._ahead = ahead

    def _fetch(self, client: httpx.Client, product: Product, file: Remote) -> FetchedFile:
        url = f"{self._url}/{product.folder}/{file.name}"
        return get(client, url, max_bytes=MAX_FILE_BYTES, deadline_s=self._deadline_s)


@SOURCES.register("dwd")
def open_dwd(context: SourceContext) -> DwdSource:
    """Poll DWD's open data, at most every 15 seconds."""
    settings = context.settings
    return DwdSource(
        settings.dwd_url,
        context.inbox,
        known=context.known,
        poll_s=max(context.poll_s, SHORTEST_POLL_S),
        hourly=settings.dwd_hourly,
    )


def first_member(archive: bytes) -> bytes:
    """Return the first file of a tar by name (lead time 0); other bytes unchanged, for the reader to refuse."""
    try:
        with tarfile.open(fileobj=io.BytesIO(archive)) as tar:
            members = sorted((member for member in tar if member.isfile()), key=lambda member: member.name)
            file = tar.extractfile(members[0]) if members else None
            return file.read() if file is not None else archive
    except (tarfile.TarError, EOFError, OSError, ValueError):
        return archive
