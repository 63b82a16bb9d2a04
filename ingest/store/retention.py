"""The retention policy: rules for each kind of file; deletions are logged, and no row remains without its file.

`sweep` applies it to the files of the ingest room; the rules of forecasts and exports are defined in
`service/forecasts/retention.py`.
"""

import logging
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from functools import partial
from pathlib import Path
from typing import Final, Generic, Protocol, TypeVar

from core.settings import Settings
from core.shared_files import keeper_of, withdraw
from core.times import iso
from ingest.store.locks import DiskFullError, translate_os_errors

NEEDED: Final = timedelta(hours=6)
"""Protected time before the newest scan: a window needs two hours, the verification of a forecast two and a half."""

PART_AGE: Final = timedelta(hours=1)
"""Age from which a temporary file was left by a killed writer."""

WINDOWS_AGE: Final = timedelta(days=1)
OWN_FOLDERS: Final = ("scans", "others", "windows", "quarantine", "inbox", "again", "backups")
log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Keep:
    """Limits by age and size of each kind; the age of data counts from the newest scan: an archive is kept."""

    scans: timedelta = timedelta(days=14)
    scans_bytes: int = 20 * 2**30
    others: timedelta = timedelta(days=2)
    others_bytes: int = 5 * 2**30
    quarantine: timedelta = timedelta(days=30)
    quarantine_bytes: int = 2**30

    @classmethod
    def of(cls, settings: Settings) -> "Keep":
        """Return the limits of the settings."""
        return cls(
            timedelta(days=settings.scans_keep_days),
            settings.scans_max_bytes,
            timedelta(days=settings.others_keep_days),
            settings.others_max_bytes,
            timedelta(days=settings.quarantine_keep_days),
            settings.quarantine_max_bytes,
        )


class Aged(Protocol):
    """An item with a time and a size."""

    @property
    def at(self) -> datetime:
        """Return the item's time."""

    @property
    def size(self) -> int:
        """Return the size in bytes."""


@dataclass(frozen=True)
class StoredFile:
    """One file that may be deleted; `at` is the time of its data, or of its last change."""

    path: Path
    at: datetime
    size: int


Item = TypeVar("Item", bound=Aged)


def _nothing(_item: Aged) -> bool:
    return False


@dataclass(frozen=True)
class Rule(Generic[Item]):
    """Rule of one kind of item: items before `keep_from` are deleted, then the oldest until `max_bytes` is met.

    Attributes:
        keep_from: items of an earlier time are deleted.
        max_bytes: limit of all items together, protected ones included; None: no limit.
        protect_from: items of this time or later are never deleted.
        protects: returns whether an item is never deleted, whatever its age.
    """

    keep_from: datetime
    max_bytes: int | None = None
    protect_from: datetime | None = None
    protects: Callable[[Item], bool] = _nothing

    def expired(self, items: Iterable[Item]) -> list[Item]:
        """Return the items to delete, the oldest first."""
        protected: list[Item] = []
        free: list[Item] = []
        for item in items:
            (protected if self.protects(item) else free).append(item)
        excess_bytes = -1 if self.max_bytes is None else _size(protected) + _size(free) - self.max_bytes
        chosen: list[Item] = []
        for item in sorted(free, key=lambda item: item.at):
            if item.at >= self.keep_from and excess_bytes <= 0:
                break
            if self.protect_from is not None and item.at >= self.protect_from:
                if excess_bytes > 0:
                    left_bytes, limit = excess_bytes + (self.max_bytes or 0), self.max_bytes
                    log.warning("%d bytes of the newest data are more than the limit of %s; kept", left_bytes, limit)
                break
            chosen.append(item)
            excess_bytes -= item.size
        return chosen


def delete(kind: str, files: Sequence[StoredFile], home: Path, forget: Callable[[], object]) -> int:
    """Delete files after `forget` has deleted their rows, so that a crash leaves no row without a file.

    Returns:
        The number of files.

    Raises:
        UnavailableError: the catalogue or the disk does not respond.
    """
    if not files:
        forget()
        return 0
    first, last = iso(min(file.at for file in files)), iso(max(file.at for file in files))
    log.info("deleting %d files (%d bytes) of %s from %s to %s", len(files), _size(files), kind, first, last)
    for file in files:
        log.debug("deleting %s", file.path)
    try:
        forget()
        delete_files(files, home)
    except DiskFullError:  # no room even for the transaction: make some first
        delete_files(files, home)
        forget()
    return len(files)


def delete_files(files: Sequence[StoredFile], home: Path) -> None:
    """Delete files, here and in the store of files, and the folders of days that are empty then."""
    withdraw([file.path for file in files])
    with translate_os_errors(home):
        for file in files:
            file.path.unlink(missing_ok=True)
        for folder in {parent for file in files for parent in file.path.parents if home in parent.parents}:
            _prune_empty(folder, home)


def _prune_empty(folder: Path, home: Path) -> None:
    while folder.parent != home and folder != home:
        try:
            folder.rmdir()
        except OSError:  # not empty, or gone
            return
        folder = folder.parent


def _size(items: Sequence[Aged]) -> int:
    return sum(item.size for item in items)


Forget = Callable[[Sequence[Path], Mapping[str, int]], None]
"""Function that deletes the rows of files and adds to the counters, before the files are deleted."""


def sweep(home: Path, keep: Keep, newest: datetime | None, now: datetime, forget: Forget) -> dict[str, int]:
    """Apply the retention rules to the files of the ingest room.

    Args:
        home: the live store.
        keep: the limits.
        newest: time of the newest scan, from which the age of data counts.
        now: from which the age of quarantined and temporary files counts.
        forget: called for each kind before its files are deleted.

    Returns:
        The number of deleted files by kind.

    Raises:
        UnavailableError: the catalogue or the disk does not respond.
    """
    data_now, deleted = min(newest or now, now), {}
    floor = data_now - NEEDED
    scans = Rule[StoredFile](data_now - keep.scans, keep.scans_bytes, floor)
    others = Rule[StoredFile](data_now - keep.others, keep.others_bytes, floor)
    quarantine = Rule[StoredFile](now - keep.quarantine, keep.quarantine_bytes)
    by_kind = {
        "scans": scans.expired(_dated(home / "scans", "*.nc")),
        "others": others.expired(_dated(home / "others", "*.nc")),
        "windows": Rule[StoredFile](data_now - WINDOWS_AGE).expired(_dated(home / "windows", "*.safetensors")),
        "quarantine": quarantine.expired(_files(home / "quarantine", "*")),
        "parts": Rule[StoredFile](now - PART_AGE).expired(_parts(home)),
    }
    for kind, files in by_kind.items():
        if files:
            paths = [file.path for file in files]
            counts = {f"deleted:{kind}": len(files), f"freed:{kind}": _size(files)}
            deleted[kind] = delete(kind, files, home, partial(forget, paths, counts))
    return deleted


def _dated(folder: Path, pattern: str) -> list[StoredFile]:
    """Return files by the time in their names: RY_20240701T1200Z.nc, RV_20240701T1200Z_050.nc."""
    found = []
    for file in _files(folder, pattern):
        stamps = [part for part in file.path.stem.split("_") if part.endswith("Z") and "T" in part]
        try:
            digits = "%Y%m%dT%H%MZ" if len(stamps[-1]) == 14 else "%Y%m%dT%H%M%SZ"
            found.append(StoredFile(file.path, datetime.strptime(stamps[-1], digits).replace(tzinfo=UTC), file.size))
        except (IndexError, ValueError):
            log.warning("%s is not a file of the store; kept", file.path)
    return found


def _parts(home: Path) -> list[StoredFile]:
    """Return temporary files: of the folders of this room, and of the small files of any part in the store itself."""
    places = [home.glob(".*.part"), *((home / name).rglob(".*.part") for name in OWN_FOLDERS)]
    return [file for paths in places for file in _found(paths, hidden=True)]


def _files(folder: Path, pattern: str) -> Iterator[StoredFile]:
    """Return the files below a folder that are not hidden; those of the store of files where it has the folder."""
    if keeper := keeper_of(folder):
        stored = ((path, one) for path, one in keeper.listed(folder) if path.match(pattern))
        return (StoredFile(path, one.changed_at, one.size) for path, one in stored if not path.name.startswith("."))
    return _found(folder.rglob(pattern), hidden=False)


def _found(paths: Iterable[Path], *, hidden: bool) -> Iterator[StoredFile]:
    """Return those of the paths that are files; one that another process deletes meanwhile is skipped."""
    for path in paths:
        try:
            status = path.stat()
        except OSError:
            continue
        if path.is_file() and path.name.startswith(".") == hidden:
            yield StoredFile(path, datetime.fromtimestamp(status.st_mtime, UTC), status.st_size)
