"""Write locks of the live store, between processes and between machines, and translation of OS errors."""

import errno
import fcntl
import os
import shutil
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from pathlib import Path
from typing import Final

from core.errors import UnavailableError

FULL: Final = (errno.ENOSPC, errno.EDQUOT)
NO_ROOM_BYTES: Final = 2**20
WRITE_LOCK: Final = ".turn.lock"
"""Lock of those that write scans."""

REPAIR_LOCK: Final = ".repair.lock"
"""Lock of the one that replaces the catalogue: a writer of scans may find the damage while it holds its own lock."""


Hold = Callable[[str], AbstractContextManager[object]]
"""Function that holds the lock of a name on all machines for a block."""

_ELSEWHERE: Final[dict[Path, Hold]] = {}


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


def lock_on_all_machines(home: Path, hold: Hold) -> None:
    """Let the locks of a store be of all machines that share it."""
    _ELSEWHERE[home] = hold


@contextmanager
def write_lock(home: Path, name: str = WRITE_LOCK) -> Iterator[None]:
    """Hold a lock of the store, which one thread of one process can hold; the lock of a killed process is released.

    Raises:
        UnavailableError: the lock file cannot be opened, or the server of the locks does not respond.
    """
    elsewhere = _ELSEWHERE.get(home)
    with translate_os_errors(home):
        if elsewhere is not None:  # the folder is a cache, which an operator may delete at any time
            home.mkdir(parents=True, exist_ok=True)
        handle = os.open(home / name, os.O_RDWR | os.O_CREAT, 0o644)
    try:
        with translate_os_errors(home):
            fcntl.flock(handle, fcntl.LOCK_EX)
        with nullcontext() if elsewhere is None else elsewhere(name):
            yield
    finally:
        os.close(handle)
