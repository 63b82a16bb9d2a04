"""Files that end the process which reads them: after a number of attempts a file is refused unread.

A decoder of a hostile file may loop without end, or end the process (HDF5 is a C library); the process is restarted,
and would read the same file again without end. So each attempt is noted on the disk before it begins. The note of a
file that was refused stays: a watched folder still has the file at the next start.
"""

import faulthandler
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Final

from core.errors import FrameError

FOLDER: Final = "attempts"
MOST: Final = 2
"""Attempts of one file: a process may also be killed by chance while it reads a good one."""

LIMIT_S: Final = 120.0
"""Longest time for reading one file; the largest composite of Europe takes 5 s, on a busy machine more."""


@contextmanager
def attempt(home: Path, sha256: str, name: str, limit_s: float = LIMIT_S) -> Iterator[None]:
    """Note that a file is being read; this process ends with a traceback if that takes longer than the limit.

    The watchdog is a thread of the interpreter that needs no lock, so that it ends a loop within a C library too.

    Args:
        home: the live store.
        sha256: of the file.
        name: of the file, for the message.
        limit_s: for the block.

    Raises:
        FrameError: the file was not read to its end in `MOST` attempts.
    """
    note = home / FOLDER / sha256
    before = _count(note)
    if before >= MOST:
        raise FrameError(f"{name}: reading it took longer than {limit_s:g} s or ended the process, {before} times")
    with suppress(OSError):  # a full disk: there is no protection then, but the file is read
        note.parent.mkdir(exist_ok=True)
        note.write_text(str(before + 1))
    faulthandler.dump_traceback_later(limit_s, exit=True, file=2)
    try:
        yield
    finally:
        faulthandler.cancel_dump_traceback_later()
        note.unlink(missing_ok=True)


def _count(note: Path) -> int:
    try:
        return int(note.read_text())
    except (OSError, ValueError):
        return 0
