"""What every writer of the live store needs: a turn of its own, and disk errors by our name."""

import fcntl
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from core.errors import UnavailableError


@contextmanager
def storing(home: Path) -> Iterator[None]:
    """Errors of the disk as `UnavailableError`."""
    try:
        yield
    except OSError as err:
        raise UnavailableError(f"the live store {home} cannot be used: {type(err).__name__}: {err}") from err


@contextmanager
def turn(home: Path) -> Iterator[None]:
    """Wait until no other process or thread is in here for the same store; a killed one leaves it at once.

    Raises:
        UnavailableError: the disk does not let us.
    """
    with storing(home):
        handle = os.open(home / ".turn.lock", os.O_RDWR | os.O_CREAT, 0o644)
    try:
        with storing(home):
            fcntl.flock(handle, fcntl.LOCK_EX)
        yield
    finally:
        os.close(handle)
