"""A live store on several machines: its files are in a store of files, and the folder of each machine is a cache.

`mount` ties a folder to a store. From then on a file that is missing in the folder is fetched, a damaged one again; a
writer publishes its file before it enters the row, so that no row names a file that others cannot read. The folder
keeps what was used last, up to a number of bytes. Without a mount all functions are about the folder alone.
"""

import logging
import os
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Final

from core.cache_room import CacheRoom
from core.errors import UnavailableError
from core.files import DamagedFileError, check_file, sealed, unsealed, write_bytes_atomically

if TYPE_CHECKING:  # a process without a store does not load its library
    from core.filestore import FileStore, StoredObject

CACHED: Final = ("scans", "others", "forecasts", "quarantine")
"""Folders that are trimmed to a number of bytes."""

PRIVATE: Final = "uploads"
"""Folder whose files are for their owner alone."""

KEPT: Final = (*CACHED, PRIVATE, "models", "again", "attempts", "ingest-status.json")
"""Folders and files of a live store that are in the store of files; all others are of one machine."""

MISSING_S: Final = 2.0
"""How long a file that the store lacks is not looked for again: members follow their forecast within a minute."""

MARKED_EVERY_S: Final = 60.0
TRIMMED_EVERY: Final = 50
"""The folder is looked through when it has grown by this part of its limit."""

SMALL_BYTES: Final = 65_536
"""Files up to this size may be replaced by others of their name, and are compared when a folder is followed."""

LOCKS, HELD_NAMES = 64, 10_000
log = logging.getLogger(__name__)


class SharedFolder:
    """The folder of one machine in front of a store; safe to share between threads and processes.

    Args:
        home: the live store, an absolute path.
        store: of all machines.
        most_bytes: of the files that the folder keeps, besides those in use.
        steady: steady time in seconds.
    """

    def __init__(
        self, home: Path, store: "FileStore", most_bytes: int, steady: Callable[[], float] = time.monotonic
    ) -> None:
        self.home, self.store = home, store
        self._most_bytes, self._steady = most_bytes, steady
        self._missing: dict[Path, float] = {}
        self._marked: dict[Path, float] = {}
        self._tags: dict[str, str] = {}
        self._done: dict[object, float] = {}
        self._locks = tuple(threading.Lock() for _ in range(LOCKS))
        self._grown_bytes = most_bytes  # looked through at the first file

    def keeps(self, path: Path) -> bool:
        """Return whether a path is one of the store's."""
        return path.is_relative_to(self.home) and next(iter(path.relative_to(self.home).parts), "") in KEPT

    def has(self, path: Path) -> bool:
        """Return whether a file is here, fetched if it was not."""
        if path.is_file():
            self._mark(path)
            return True
        return self.fetch(path)

    def fetch(self, path: Path, *, again: bool = False) -> bool:
        """Get a file from the store; return whether it was there, with the content that was put.

        A damaged one is written where no other is: whatever reads it finds the damage, and sets it aside.

        Args:
            path: of the file.
            again: although it is here.
        """
        with self._locks[hash(path) % LOCKS]:
            if not again and path.is_file():
                return True
            if self._missing.get(path, -MISSING_S) > self._steady() - MISSING_S:
                return False
            content = self.store.get(self._name(path))
            if content is None:
                _remember(self._missing, path, self._steady())
                return False
            return self._take(path, content, again=again)

    def publish(self, path: Path, content: bytes | None = None) -> None:
        """Put a file into the store.

        Args:
            path: of the file.
            content: that it will have; None: that it has.

        Raises:
            DamagedFileError: its content is not what was written to it.
        """
        if content is None:
            check_file(path)
        raw = sealed(path.read_bytes() if content is None else content)
        self.store.put(self._name(path), raw)
        self._missing.pop(path, None)
        self._grow(len(raw))

    def withdraw(self, paths: Sequence[Path]) -> None:
        """Delete files from the store."""
        self.store.delete([self._name(path) for path in paths])

    def listed(self, folder: Path) -> Iterator[tuple[Path, "StoredObject"]]:
        """Yield the files of the store below a folder, with their paths here."""
        for one in self.store.list(self._name(folder)):
            yield self.home / one.name, one

    def follow(self, folder: Path, within_s: float) -> None:
        """Fetch what is new below a folder of few files, or a small file, if that was not done within some seconds.

        Where the store does not respond, what is here stays; at the first time that is an error.
        """
        is_first = folder not in self._done
        if not self.is_time(folder, within_s):
            return
        try:
            self._fetch_new(folder)
        except UnavailableError as err:
            if is_first:
                del self._done[folder]
                raise
            log.warning("what is new in %s is not known: %s", folder.name, err)

    def is_time(self, what: object, every_s: float) -> bool:
        """Return whether something was not done for some seconds, and note that it is done now."""
        now = self._steady()
        if now - self._done.get(what, -every_s) < every_s:
            return False
        self._done[what] = now
        return True

    def trim(self) -> int:
        """Delete here what was not used for longest and the store has, to meet the limit; return the bytes."""
        room = CacheRoom(self.home, CACHED, self._most_bytes)
        if not room.is_exceeded():
            return 0
        try:
            stored = {one.name for top in CACHED for one in self.store.list(top)}
        except UnavailableError as err:
            log.warning("nothing is deleted from the cache: %s", err)
            return 0
        return room.trim(stored)

    def _take(self, path: Path, content: bytes, *, again: bool) -> bool:
        try:
            whole = unsealed(content, path)
        except DamagedFileError as err:
            log.error("%s", err)
            if again:
                return False
            whole = content
        try:
            write_bytes_atomically(path, whole, mode=0o600 if path.parent == self.home / PRIVATE else 0o644)
        except OSError as err:
            raise UnavailableError("the folder of files cannot be written", private=str(err)) from err
        self._grow(len(whole))
        return True

    def _fetch_new(self, folder: Path) -> None:
        if folder.suffix:
            content = self.store.get(self._name(folder))
            if content is not None:
                self._take(folder, content, again=folder.is_file())
            return
        found = sorted(self.listed(folder), key=lambda each: (each[0].suffix == ".json", each[1].name))
        for path, one in found:  # the card of a model after its weights
            is_known = one.size > SMALL_BYTES or self._tags.get(one.name) == one.tag
            content = None if path.is_file() and is_known else self.store.get(one.name)
            if content is not None and self._take(path, content, again=path.is_file()):
                self._tags[one.name] = one.tag

    def _mark(self, path: Path) -> None:
        """Set the time of access of a file in use: most disks do not."""
        now = self._steady()
        if now - self._marked.get(path, -MARKED_EVERY_S) < MARKED_EVERY_S:
            return
        _remember(self._marked, path, now)
        with suppress(OSError):
            os.utime(path, ns=(time.time_ns(), path.stat().st_mtime_ns))

    def _grow(self, size: int) -> None:
        self._grown_bytes += size
        if self._grown_bytes * TRIMMED_EVERY >= self._most_bytes:
            self._grown_bytes = 0
            self.trim()

    def _name(self, path: Path) -> str:
        return path.relative_to(self.home).as_posix()


def _remember(times: dict[Path, float], path: Path, now: float) -> None:
    if len(times) > HELD_NAMES:
        times.clear()
    times[path] = now


_MOUNTED: Final[dict[Path, SharedFolder]] = {}


def mount(folder: SharedFolder) -> None:
    """Let the files of a folder come from its store, in this process."""
    _MOUNTED[folder.home] = folder


def mounted(home: Path) -> SharedFolder | None:
    """Return the mounted folder of a live store; None where its files are its own."""
    return _MOUNTED.get(home)


def keeper_of(path: Path) -> SharedFolder | None:
    """Return the mounted folder whose store has a path; None where the folder is all there is."""
    return next((folder for folder in _MOUNTED.values() if folder.keeps(path)), None) if _MOUNTED else None


def is_there(path: Path) -> bool:
    """Return whether a file exists; it is in the folder then.

    Raises:
        UnavailableError: the store does not respond.
    """
    keeper = keeper_of(path)
    return path.is_file() if keeper is None else keeper.has(path)


def is_stored(path: Path) -> bool:
    """Return whether a file exists, here or in the store; it is not fetched."""
    return path.is_file() or is_shared(path)


def is_shared(path: Path) -> bool:
    """Return whether a file is where all machines find it: an interrupted writer may have written it here alone."""
    keeper = keeper_of(path)
    return path.is_file() if keeper is None else keeper.store.exists(path.relative_to(keeper.home).as_posix())


def refresh(path: Path, changed_at: float) -> None:
    """Get a file again whose copy here is from before a time, the POSIX time of a change on another machine."""
    if keeper := keeper_of(path):
        with suppress(OSError):
            if path.stat().st_mtime < changed_at:
                keeper.fetch(path, again=True)


def fetch_again(path: Path) -> bool:
    """Get a file that is damaged here from the store; return whether it had a sound one."""
    keeper = keeper_of(path)
    return keeper is not None and keeper.fetch(path, again=True)


def publish(path: Path, content: bytes | None = None) -> None:
    """Put a file into the store, as `SharedFolder.publish`."""
    if keeper := keeper_of(path):
        keeper.publish(path, content)


def write_shared(path: Path, content: bytes, *, every_s: float = 0.0) -> None:
    """Write a small file by `write_bytes_atomically`, into the store first.

    Args:
        path: of the file.
        content: of the file.
        every_s: shortest time between two copies in the store, for a file that is written all the time.
    """
    keeper = keeper_of(path)
    if keeper and keeper.is_time((path, "published"), every_s):
        keeper.publish(path, content)
    write_bytes_atomically(path, content)


def withdraw(paths: Sequence[Path]) -> None:
    """Delete files from the store; those of the folder are the caller's."""
    for folder in _MOUNTED.values():
        if own := [path for path in paths if folder.keeps(path)]:
            folder.withdraw(own)


def follow(folder: Path, within_s: float) -> None:
    """Fetch what is new below a folder, as `SharedFolder.follow`."""
    if keeper := keeper_of(folder):
        keeper.follow(folder, within_s)
