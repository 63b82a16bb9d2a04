"""Retention of forecasts and their exports, by age and by size.

Kept in any case: the newest hours, forecasts that are still to be verified, files read a moment ago, and the counts of
all forecasts. Forecasts over their limit of bytes are thinned before the oldest ones are deleted (`thinning`).
"""

import logging
import os
from collections.abc import Callable, Collection, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from functools import partial
from pathlib import Path
from typing import Final

from core.cache_room import is_export
from core.settings import Settings
from core.shared_files import keeper_of
from ingest.store.locks import translate_os_errors
from ingest.store.retention import NEEDED, PART_AGE, Rule, StoredFile, delete
from service.forecasts.catalogue import Catalogue, CatalogueEntry
from service.forecasts.nowcast import NowcastService
from service.forecasts.records import inputs_file
from service.forecasts.thinning import (
    WindowForecasts,
    between_half_hours,
    owner_of,
    spare_parts,
    windows_of,
)
from service.telemetry.metrics import DELETED_BYTES, DELETED_FILES

IN_USE: Final = timedelta(minutes=10)
"""A client may still be reading a file for this long after its last use."""

AT_ONCE: Final = 100
"""Windows that are deleted from the catalogue in one transaction, before their files."""

MOST: Final = 5000
"""The largest number of windows in one sweep; the next sweep continues."""

LONG_AGO: Final = datetime.min.replace(tzinfo=UTC)
DAY: Final = f"{'[0-9]' * 4}/{'[0-9]' * 2}/{'[0-9]' * 2}/*"
"""Pattern of the files in a day's folder; other folders are not of this service, and stay."""

NOTE_PARTS: Final = ".again/.*.part"
"""Temporary files of the notes of lost forecasts, see `healing`."""

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class KeepForecasts:
    """Limits of age and size; exports can be written again, and their age counts from their last use."""

    forecasts: timedelta = timedelta(days=30)
    forecasts_bytes: int = 20 * 2**30
    exports: timedelta = timedelta(days=2)
    exports_bytes: int = 5 * 2**30

    @classmethod
    def of(cls, settings: Settings) -> "KeepForecasts":
        """Return the limits of the settings."""
        return cls(
            timedelta(days=settings.forecasts_keep_days),
            settings.forecasts_max_bytes,
            timedelta(days=settings.exports_keep_days),
            settings.exports_max_bytes,
        )


@dataclass(frozen=True)
class Clocks:
    """The times from which ages are counted.

    Attributes:
        now: the wall clock.
        newest_scan: time of the newest scan, from which the age of data counts: a frozen source or an archive stays.
    """

    now: datetime
    newest_scan: datetime | None = None

    def at(self, made_at: datetime, reference_time: datetime | None) -> datetime:
        """Return the time of creation or of the data, whichever makes it younger, as a time of the wall clock."""
        age = self.now - made_at
        if reference_time is not None:
            age = min(age, min(self.newest_scan or self.now, self.now) - reference_time)
        return self.now - age


class ForecastRetention:
    """Retention for the forecasts of one live store; may run in several processes at once."""

    def __init__(self, catalogue: Catalogue, keep: KeepForecasts) -> None:
        self._catalogue, self._keep = catalogue, keep

    def sweep(self, clocks: Clocks, unverified: Collection[str] = ()) -> dict[str, int]:
        """Delete what exceeds the limits; return the number of files by kind.

        Args:
            clocks: the times from which ages are counted.
            unverified: windows, by their `inputs_sha256`, that are still to be verified.

        Raises:
            UnavailableError: the catalogue or the disk refuses.
        """
        with translate_os_errors(self._catalogue.folder.parent):
            found = {file.path: file for file in _files(self._catalogue.folder)}
        entries = self._catalogue.entries()
        newest = _newest(entries)
        old_parts = Rule[StoredFile](clocks.now - PART_AGE).expired(file for file in found.values() if _is_part(file))
        open_windows = frozenset(unverified)
        never = {entry.id for entry in newest} | {
            entry.id for entry in entries if entry.origin == "scans" and entry.inputs_sha256 in open_windows
        }
        deleted = {
            "parts": self._delete("parts", old_parts),
            "exports": self._delete("exports", self._old_exports(found, newest, clocks)),
            "thinned": self._thin(found, entries, never, clocks),
        }
        entries = self._catalogue.entries() if deleted["thinned"] else entries
        deleted |= {
            "forecasts": len(self._forget("forecasts", self._old_windows(found, entries, never, clocks))),
            "leftovers": self._delete("leftovers", self._leftovers(found, entries, clocks)),
        }
        return {kind: number for kind, number in deleted.items() if number}

    def _old_exports(
        self, found: dict[Path, StoredFile], newest: Collection[CatalogueEntry], clocks: Clocks
    ) -> list[StoredFile]:
        kept = {entry.id for entry in newest}
        rule = Rule[StoredFile](
            clocks.now - self._keep.exports,
            self._keep.exports_bytes,
            clocks.now - IN_USE,
            lambda file: owner_of(file.path) in kept,
        )
        return rule.expired(file for file in found.values() if is_export(file.path))

    def _thin(
        self, found: dict[Path, StoredFile], entries: Sequence[CatalogueEntry], never: Collection[str], clocks: Clocks
    ) -> int:
        """Delete what is missed least while the forecasts are over their limit of bytes; forget it in `found`."""
        number = 0
        for choose in (spare_parts, between_half_hours):
            windows = windows_of(found, entries, clocks.at)
            free = [one for one in windows if not self._is_kept(one, never, clocks)]
            chosen = choose(free, clocks.now)
            others_bytes = sum(one.size for one in windows) - sum(one.size for one in chosen)
            rule = Rule[WindowForecasts](LONG_AGO, self._keep.forecasts_bytes - others_bytes)
            expired = rule.expired(chosen)[:MOST]
            gone = self._forget("thinned", expired)
            number += len(gone)
            for file in gone:
                found.pop(file.path, None)
            entries = self._catalogue.entries() if expired else entries
        return number

    def _old_windows(
        self, found: dict[Path, StoredFile], entries: Sequence[CatalogueEntry], never: Collection[str], clocks: Clocks
    ) -> list[WindowForecasts]:
        rule = Rule[WindowForecasts](
            clocks.now - self._keep.forecasts,
            self._keep.forecasts_bytes,
            clocks.now - NEEDED,
            lambda one: self._is_kept(one, never, clocks),
        )
        return rule.expired(windows_of(found, entries, clocks.at))[:MOST]

    def _is_kept(self, one: WindowForecasts, never: Collection[str], clocks: Clocks) -> bool:
        return any(entry.id in never for entry in one.entries) or any(
            file.at >= clocks.now - IN_USE for file in one.files
        )

    def _forget(self, kind: str, windows: Sequence[WindowForecasts]) -> list[StoredFile]:
        """Delete windows, and return their files that no other forecast needs."""
        gone: list[StoredFile] = []
        for start in range(0, len(windows), AT_ONCE):
            some = windows[start : start + AT_ONCE]
            ids, files = [entry.id for one in some for entry in one.entries], self._files_of(some)
            self._delete(kind, files, partial(self._catalogue.forget, ids))
            gone += files
        return gone

    def _files_of(self, windows: Sequence[WindowForecasts]) -> list[StoredFile]:
        """Return the files of windows; the inputs only where no other forecast started from them."""
        deleted_ids = {entry.id for one in windows for entry in one.entries}
        used = {inputs_file(e.path, e.inputs_sha256) for e in self._catalogue.entries() if e.id not in deleted_ids}
        return [file for one in windows for file in one.files if file.path not in used]

    def _leftovers(
        self, found: dict[Path, StoredFile], entries: Sequence[CatalogueEntry], clocks: Clocks
    ) -> list[StoredFile]:
        """Return files without a forecast, left by an interrupted sweep; their own age counts."""
        known = {entry.id for entry in entries}
        inputs = {inputs_file(entry.path, entry.inputs_sha256) for entry in entries}
        return [
            file
            for file in found.values()
            if not (_is_part(file) or is_export(file.path) or file.path in inputs or owner_of(file.path) in known)
            and clocks.at(file.at, _day_after(file.path)) < clocks.now - self._keep.forecasts
        ]

    def _delete(self, kind: str, files: Sequence[StoredFile], forget: Callable[[], object] = lambda: None) -> int:
        number = delete(kind, files, self._catalogue.folder.parent, forget)
        DELETED_FILES.labels(kind).inc(number)
        DELETED_BYTES.labels(kind).inc(sum(file.size for file in files))
        return number


def sweep_forecasts(service: NowcastService, now: datetime | None = None) -> dict[str, int]:
    """Sweep the forecasts of a service by its settings; return the number of files by kind.

    Raises:
        UnavailableError: the catalogue or the disk refuses.
    """
    newest = service.store.latest()
    clocks = Clocks(now or datetime.now(UTC), newest.valid_time if newest else None)
    retention = ForecastRetention(service.catalogue, KeepForecasts.of(service.settings))
    return retention.sweep(clocks, service.unverified())


def mark_used(path: Path) -> None:
    """Set a file's time of access to now, since most disks do not update it by themselves."""
    with suppress(OSError):
        os.utime(path, ns=(round(datetime.now(UTC).timestamp() * 1e9), path.stat().st_mtime_ns))


def _files(folder: Path) -> Iterator[StoredFile]:
    """Yield every file of the days' folders, with the time at which it was last written or read.

    A file of the store of files counts as it is there; exports and temporary files are of this machine.
    """
    if keeper := keeper_of(folder):
        stored = {path: one for path, one in keeper.listed(folder) if path.match(DAY)}
        yield from (StoredFile(path, one.changed_at, one.size) for path, one in stored.items())
        yield from (file for file in _local_files(folder) if file.path not in stored)
    else:
        yield from _local_files(folder)


def _local_files(folder: Path) -> Iterator[StoredFile]:
    for path in (*folder.glob(DAY), *folder.glob(NOTE_PARTS)):
        with suppress(FileNotFoundError):
            status = path.stat()
            used = max(status.st_mtime, status.st_atime)
            yield StoredFile(path, datetime.fromtimestamp(used, UTC), status.st_size)


def _is_part(file: StoredFile) -> bool:
    return file.path.name.startswith(".") and file.path.suffix == ".part"


def _newest(entries: Sequence[CatalogueEntry]) -> list[CatalogueEntry]:
    """Return the forecasts from scans of the last hours before the newest one."""
    scheduled = [entry for entry in entries if entry.origin == "scans"]
    last = max((entry.reference_time for entry in scheduled), default=None)
    return [entry for entry in scheduled if last is not None and entry.reference_time >= last - NEEDED]


def _day_after(path: Path) -> datetime:
    """Return the end of the day of a file's folder, YYYY/MM/DD: no reference time in there is later."""
    year, month, day = (int(part) for part in path.parts[-4:-1])
    return datetime(year, month, day, tzinfo=UTC) + timedelta(days=1)
