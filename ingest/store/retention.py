"""What ingest deletes of the live store, by age and by size: never the newest hours, and nothing without telling."""

import logging
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Final, Protocol, TypeVar

from core.frame import iso
from core.settings import Settings
from ingest.store.locks import DiskFullError

NEEDED: Final = timedelta(hours=6)
"""A window reaches back two hours and a forecast is scored against the two and a half after it."""

PART_AGE: Final = timedelta(hours=1)
"""Nobody is still writing a temporary file of this age: a killed writer left it."""

WINDOWS_AGE: Final = timedelta(days=1)
OWN_FOLDERS: Final = ("scans", "others", "windows", "quarantine", "inbox")
log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Keep:
    """How long and how much of each kind is kept; ages of data count from the newest scan: an old archive stays."""

    scans: timedelta = timedelta(days=14)
    scans_bytes: int = 20 * 2**30
    others: timedelta = timedelta(days=2)
    others_bytes: int = 5 * 2**30
    quarantine: timedelta = timedelta(days=30)
    quarantine_bytes: int = 2**30

    @classmethod
    def of(cls, settings: Settings) -> "Keep":
        """The rules of the settings."""
        return cls(
            timedelta(days=settings.scans_keep_days),
            settings.scans_max_bytes,
            timedelta(days=settings.others_keep_days),
            settings.others_max_bytes,
            timedelta(days=settings.quarantine_keep_days),
            settings.quarantine_max_bytes,
        )


@dataclass(frozen=True)
class Kept:
    """One file that may be deleted; `at` is its own time: of the data, or of its writing."""

    path: Path
    at: datetime
    size: int


Forget = Callable[[Sequence[Path], Mapping[str, int]], None]
"""Takes files out of the catalogue and counts them, before they are deleted."""


def sweep(home: Path, keep: Keep, newest: datetime | None, now: datetime, forget: Forget) -> dict[str, int]:
    """Delete what is too old or too much; gives the number of files by kind.

    Args:
        home: the live store.
        keep: the rules.
        newest: time of the newest scan, from which the age of data counts.
        now: from which the age of quarantined and temporary files counts.
        forget: called for each kind before its files go, so that a crash leaves no row without a file.

    Raises:
        UnavailableError: the catalogue or the disk does not let us.
    """
    data_now, deleted = min(newest or now, now), {}
    floor = data_now - NEEDED
    by_kind: dict[str, list[Kept]] = {
        "scans": excess(_dated(home / "scans", "*.nc"), data_now - keep.scans, keep.scans_bytes, floor),
        "others": excess(_dated(home / "others", "*.nc"), data_now - keep.others, keep.others_bytes, floor),
        "windows": [file for file in _dated(home / "windows", "*.safetensors") if file.at < data_now - WINDOWS_AGE],
        "quarantine": excess(_written(home / "quarantine"), now - keep.quarantine, keep.quarantine_bytes, None),
        "parts": [file for file in _parts(home) if file.at < now - PART_AGE],
    }
    for kind, files in by_kind.items():
        if files:
            tell(kind, files)
            paths, counts = (
                [file.path for file in files],
                {f"deleted:{kind}": len(files), f"freed:{kind}": _size(files)},
            )
            try:
                forget(paths, counts)
                delete_files(files, home)
            except DiskFullError:  # no room even for the note: make some first
                delete_files(files, home)
                forget(paths, counts)
            deleted[kind] = len(files)
    return deleted


class Aged(Protocol):
    """What has an age and a size."""

    @property
    def at(self) -> datetime:
        """Its time."""

    @property
    def size(self) -> int:
        """In bytes."""


Some = TypeVar("Some", bound=Aged)


def excess(files: Sequence[Some], cutoff: datetime, max_bytes: int, floor: datetime | None) -> list[Some]:
    """The files that are too old, then the oldest until the rest is small enough; none that is younger than `floor`."""
    files = sorted(files, key=lambda file: file.at)
    left_bytes, chosen = _size(files), []
    for file in files:
        if file.at >= cutoff and left_bytes <= max_bytes:
            break
        if floor is not None and file.at >= floor:
            if left_bytes > max_bytes:
                log.warning("%d bytes of the newest data are more than the limit of %d; kept", left_bytes, max_bytes)
            break
        chosen.append(file)
        left_bytes -= file.size
    return chosen


def _dated(folder: Path, pattern: str) -> list[Kept]:
    """Files whose names end in their data's time: RY_20240701T1200Z.nc, RV_20240701T1200Z_050.nc."""
    found = []
    for file in _files(folder, pattern):
        stamps = [part for part in file.path.stem.split("_") if part.endswith("Z") and "T" in part]
        try:
            digits = "%Y%m%dT%H%MZ" if len(stamps[-1]) == 14 else "%Y%m%dT%H%M%SZ"
            found.append(Kept(file.path, datetime.strptime(stamps[-1], digits).replace(tzinfo=UTC), file.size))
        except (IndexError, ValueError):
            log.warning("%s is no file of ours; left alone", file.path)
    return found


def _written(folder: Path) -> list[Kept]:
    return list(_files(folder, "*"))


def _parts(home: Path) -> list[Kept]:
    return [file for name in OWN_FOLDERS for file in _files(home / name, ".*.part", hidden=True)]


def _files(folder: Path, pattern: str, *, hidden: bool = False) -> Iterator[Kept]:
    """Files below a folder that are there; somebody else may delete one in the meantime."""
    for path in folder.rglob(pattern):
        try:
            status = path.stat()
        except OSError:
            continue
        if path.is_file() and path.name.startswith(".") == hidden:
            yield Kept(path, datetime.fromtimestamp(status.st_mtime, UTC), status.st_size)


def _size(files: Sequence[Aged]) -> int:
    return sum(file.size for file in files)


def tell(kind: str, files: Sequence[Kept]) -> None:
    """Log what is going to be deleted."""
    first, last = iso(min(file.at for file in files)), iso(max(file.at for file in files))
    log.info("deleting %d files (%d bytes) of %s from %s to %s", len(files), _size(files), kind, first, last)
    for file in files:
        log.debug("deleting %s", file.path)


def delete_files(files: Sequence[Kept], home: Path) -> None:
    """Delete files, and the folders of days that are empty then."""
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
