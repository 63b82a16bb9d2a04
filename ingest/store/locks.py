"""Inter-process write lock of the live store, and translation of OS errors."""

import errno
import fcntl
import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

from core.errors import UnavailableError

FULL: Final = (errno.ENOSPC, errno.EDQUOT)
NO_ROOM_BYTES: Final = 2**20
WRITE_LOCK: Final = ".turn.lock"
"""Lock of those that write scans."""

REPAIR_LOCK: Final = ".repair.lock"
"""Lock of the one that replaces the catalogue: a writer of scans may find the damage while it holds its own lock."""


class DiskFullError(UnavailableError):
    """The disk is full; ingest pauses until there is free space."""


@contextmanager
def translate_os_errors(home: Path) -> Iterator[None]:
    """Translate OS errors and netCDF-C's RuntimeErrors to `UnavailableError`, a full disk to `DiskFullError`."""
    try:
        yield
    except (OSError, RuntimeError) as err:
        full = getattr(err, "errno", None) in FULL or _has_no_room(home)
        message = f"the live store {home} cannot be used: {type(err).__name__}: {err}"
        raise (DiskFullError if full else UnavailableError)(message) from err


def free_bytes(home: Path) -> int:
    """Return the free space on the store's disk."""
    return shutil.disk_usage(home).free


def _has_no_room(home: Path) -> bool:
    try:
        return free_bytes(home) < NO_ROOM_BYTES
    except OSError:
        return False


@contextmanager
def write_lock(home: Path, name: str = WRITE_LOCK) -> Iterator[None]:
    """Hold a lock of the store, which one thread of one process can hold; the lock of a killed process is released.

    Raises:
        UnavailableError: the lock file cannot be opened.
    """
    with translate_os_errors(home):
        handle = os.open(home / name, os.O_RDWR | os.O_CREAT, 0o644)
    try:
        with translate_os_errors(home):
            fcntl.flock(handle, fcntl.LOCK_EX)
        yield
    finally:
        os.close(handle)
