"""DWD's open data: asks for new scans of RY, and for the analyses of RV where RY is missing or late."""

import io
import logging
import random
import tarfile
import threading
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Final

import httpx2 as httpx

from core.errors import UnavailableError
from core.files import write_bytes_atomically
from ingest.pipeline import Outcome
from ingest.sources.base import Arrival
from ingest.sources.listing import RV, RY, Product, Remote, files_of

USER_AGENT: Final = "ms-rnn-nowcast/0.1 (radar ingest; one listing per poll, each file once)"
BACKFILL: Final = timedelta(minutes=150)
"""A window reaches back two hours; half an hour more lets the first forecast be scored by its predecessor."""

LATE: Final = timedelta(minutes=20)
AHEAD: Final = timedelta(minutes=10)
"""No file of a later time than the clock's and this is believed."""

MAX_TRIES: Final = 3
"""A file that cannot be read may have been fetched while the server wrote it."""

MAX_LISTING_BYTES: Final = 8 * 2**20
MAX_FILE_BYTES: Final = 64 * 2**20
MAX_WAIT_S: Final = 300.0
log = logging.getLogger(__name__)


class DwdSource:
    """Polls the listings, fetches each new file once into an inbox, and drops it there when it is ingested.

    Args:
        url: root of the radar data on the server.
        inbox: a folder of our own; what a crash left in it is taken up at the next start.
        known: whether a file of that name went in already.
        poll_s: seconds between two looks while all is well; grows and varies while it is not.
        clock: the present time.
        jitter: a number in [0, 1).
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
    ) -> None:
        self._url, self._inbox, self._known = url.rstrip("/"), inbox, known
        self._poll_s, self._clock, self._jitter = poll_s, clock, jitter
        self._listings: dict[str, tuple[dict[str, str], list[Remote]]] = {}
        self._done: set[str] = set()
        self._tries: dict[str, int] = {}
        self._failures = 0

    def look(self) -> Iterator[Arrival]:
        """New files, the newest first, so that a forecast is there before the back-fill is."""
        inbox = sorted(self._inbox.glob("[!.]*")) if self._inbox.is_dir() else []
        yield from (Arrival(path, final=True) for path in inbox)
        try:
            with httpx.Client(headers={"User-Agent": USER_AGENT}, timeout=20.0, follow_redirects=True) as client:
                yield from self._new_files(client)
        except (httpx.HTTPError, httpx.InvalidURL, httpx.StreamError, OSError) as err:
            self._failures += 1
            raise UnavailableError(f"{self._url}: {type(err).__name__}: {err}") from err
        self._failures = 0

    def settle(self, arrival: Arrival, outcome: Outcome | None) -> None:
        """Drop the copy in the inbox: the store has it, or the quarantine, or it will be fetched once more."""
        if outcome is not None:
            arrival.path.unlink(missing_ok=True)
            if outcome.rejected is None or arrival.final:
                self._done.add(arrival.path.name)

    def ticks(self, stop: threading.Event) -> Iterator[None]:
        """At once, then every `poll_s`, or after longer and longer waits while the server fails."""
        yield None
        while not stop.wait(self.wait_s):
            yield None

    @property
    def wait_s(self) -> float:
        """Seconds until the next look: doubles with each failure, within half of it either way by chance."""
        backed_off_s = min(self._poll_s * 2**self._failures, MAX_WAIT_S)
        return backed_off_s * (0.5 + self._jitter()) if self._failures else self._poll_s

    def _new_files(self, client: httpx.Client) -> Iterator[Arrival]:
        product, files = self._newest_product(client)
        for file in reversed(files):
            name = product.local_name(file)
            if name in self._done or self._known(name):
                continue
            content = self._fetch(client, product, file)
            if content is None:
                self._done.add(name)
                continue
            write_bytes_atomically(self._inbox / name, content)
            self._tries[name] = self._tries.get(name, 0) + 1
            yield Arrival(self._inbox / name, final=self._tries[name] >= MAX_TRIES)
        self._done &= {product.local_name(file) for file in files}

    def _newest_product(self, client: httpx.Client) -> tuple[Product, list[Remote]]:
        """RY if its newest file is recent, else whichever has the newest one."""
        ry = self._list(client, RY)
        if ry and self._clock() - ry[-1].time <= LATE:
            return RY, self._recent(ry)
        rv = self._list(client, RV)
        if rv and (not ry or rv[-1].time > ry[-1].time):
            log.warning("RY is %s; taking the analyses of RV", "late" if ry else "not there")
            return RV, self._recent(rv)
        if not ry:
            self._failures += 1
            raise UnavailableError(f"{self._url}: no file in {RY.folder}/ and {RV.folder}/; radar files were due")
        return RY, self._recent(ry)

    def _recent(self, files: list[Remote]) -> list[Remote]:
        return [file for file in files if file.time >= files[-1].time - BACKFILL]

    def _list(self, client: httpx.Client, product: Product) -> list[Remote]:
        """The product's files; the last answer where the server says that nothing changed, none where it has none."""
        url = f"{self._url}/{product.folder}/"
        conditions, files = self._listings.get(url, ({}, []))
        status, headers, page = _get(client, url, MAX_LISTING_BYTES, conditions)
        if status == httpx.codes.NOT_MODIFIED:
            return files
        if status != httpx.codes.OK or page is None:
            return []
        due = self._clock() + AHEAD
        files = [file for file in files_of(product, page.decode("utf-8", "replace")) if file.time <= due]
        asked = (("If-None-Match", "etag"), ("If-Modified-Since", "last-modified"))
        self._listings[url] = ({ask: headers[told] for ask, told in asked if told in headers}, files)
        return files

    def _fetch(self, client: httpx.Client, product: Product, file: Remote) -> bytes | None:
        """A file's bytes; None where the server has it no more, or it is too large."""
        url = f"{self._url}/{product.folder}/{file.name}"
        status, _, content = _get(client, url, MAX_FILE_BYTES, {})
        if status != httpx.codes.OK or content is None:
            log.warning("left out %s: status %d, %s", url, status, "too large" if content is None else "200 was due")
            return None
        return first_member(content) if product.first_member else content


def first_member(archive: bytes) -> bytes:
    """The first file of a tar by name (lead 0); what is no such archive as it is, for the reader to judge."""
    try:
        with tarfile.open(fileobj=io.BytesIO(archive)) as tar:
            members = sorted((member for member in tar if member.isfile()), key=lambda member: member.name)
            file = tar.extractfile(members[0]) if members else None
            return file.read() if file is not None else archive
    except (tarfile.TarError, EOFError, OSError, ValueError):
        return archive


def _get(
    client: httpx.Client, url: str, max_bytes: int, headers: dict[str, str]
) -> tuple[int, httpx.Headers, bytes | None]:
    """Status, headers and body (None over the limit); a server that is not well is an `HTTPError`."""
    with client.stream("GET", url, headers=headers) as response:
        if response.is_server_error or response.status_code == httpx.codes.TOO_MANY_REQUESTS:
            response.raise_for_status()
        content = bytearray()
        for chunk in response.iter_bytes():
            content += chunk
            if len(content) > max_bytes:
                return response.status_code, response.headers, None
        return response.status_code, response.headers, bytes(content)
