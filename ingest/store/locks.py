"""What every writer of the live store needs: a turn of its own, and disk errors by our name."""

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


class DiskFullError(UnavailableError):
    """No room is left to write to; ingest pauses until there is."""


@contextmanager
def translate_os_errors(home: Path) -> Iterator[None]:
    """Errors of the disk as `UnavailableError`, a full one as `DiskFullError`; netCDF-C's are plain RuntimeErrors."""
    try:
        yield
    except (OSError, RuntimeError) as err:
        full = getattr(err, "errno", None) in FULL or _has_no_room(home)
        told = f"the live store {home} cannot be used: {type(err).__name__}: {err}"
        raise (DiskFullError if full else UnavailableError)(told) from err


def free_bytes(home: Path) -> int:
    """Room left for us on the store's disk."""
    return shutil.disk_usage(home).free


def _has_no_room(home: Path) -> bool:
    try:
        return free_bytes(home) < NO_ROOM_BYTES
    except OSError:
        return False


@contextmanager
def write_lock(home: Path) -> Iterator[None]:
    """Wait until no other process or thread is in here for the same store; a killed one leaves it at once.

    Raises:
        UnavailableError: the disk does not let us.
    """
    with translate_os_errors(home):
        handle = os.open(home / ".turn.lock", os.O_RDWR | os.O_CREAT, 0o644)
    try:
        with translate_os_errors(home):
            fcntl.flock(handle, fcntl.LOCK_EX)
        yield
    finally:
        os.close(handle)
