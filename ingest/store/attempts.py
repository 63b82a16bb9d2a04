"""Files that end the process which reads them: such a file is refused unread.

A decoder of a hostile file may loop without end, or end the process (HDF5 is a C library); the process is restarted,
and would read the same file again without end. So each attempt is noted on the disk before it begins. A process may
also be killed by chance while it reads a good file: one that was not read to its end is first read by a process of its
own, and refused if it ends that one. The note of a refused file stays: a watched folder still has it at the next start.
"""

import faulthandler
import sys
from collections.abc import Iterator
from contextlib import closing, contextmanager, suppress
from pathlib import Path
from typing import Final

from core.errors import FrameError, InputError, UnavailableError
from core.shared_files import is_there, publish, withdraw
from ingest.readers.base import MAX_BYTES, MAX_FRAMES
from ingest.sandbox.pool import BrokenDecodingError, DecodeLimits, DecoderProcess, UploadedFile

FOLDER: Final = "attempts"
MOST: Final = 10
"""Attempts of one file that may end with the process, although the file does not end a process of its own."""

LIMIT_S: Final = 120.0
"""Longest time for reading one file; the largest composite of Europe takes 5 s, on a busy machine more."""

NO_LIMIT_BYTES: Final = 2**40


@contextmanager
def attempt(home: Path, sha256: str, name: str, content: bytes, limit_s: float = LIMIT_S) -> Iterator[None]:
    """Note that a file is being read; this process ends with a traceback if that takes longer than the limit.

    The watchdog is a thread of the interpreter that needs no lock, so that it ends a loop within a C library too.

    Args:
        home: the live store.
        sha256: of the file.
        name: of the file, for the message.
        content: of the file; a process of its own reads it first where an attempt has not ended.
        limit_s: for the block.

    Raises:
        FrameError: the file ended a process of its own, or `MOST` attempts did not end.
        UnavailableError: the process of its own was stopped, or does not start; the file is to be read later.
    """
    note = home / FOLDER / sha256
    before = _count(note)
    if before >= MOST:
        raise FrameError(f"{name}: reading it took longer than {limit_s:g} s or ended the process")
    _write(note, before + 1)
    if before:
        try:
            _read_apart(content, name, limit_s)
        except BrokenDecodingError:
            _write(note, MOST)
            raise
        except UnavailableError:
            _write(note, before)
            raise
    faulthandler.dump_traceback_later(limit_s, exit=True, file=2)
    try:
        yield
    finally:
        faulthandler.cancel_dump_traceback_later()
        with suppress(OSError, UnavailableError):
            note.unlink(missing_ok=True)
            withdraw([note])


def _read_apart(content: bytes, name: str, limit_s: float) -> None:
    """Read a file in a process of its own; what a reader refuses is refused again afterwards, with its own error.

    Raises:
        BrokenDecodingError: the file ended that process, or took too long.
        UnavailableError: the process was stopped, or does not start.
    """
    limits = DecodeLimits(MAX_BYTES, MAX_FRAMES, sys.maxsize, limit_s, NO_LIMIT_BYTES)
    with closing(DecoderProcess("ingest.sandbox.decoder")) as process:
        try:
            process.decode([(0, UploadedFile(name, content))], limits)
        except BrokenDecodingError:
            raise
        except InputError:
            return


def _write(note: Path, count: int) -> None:
    with suppress(OSError, UnavailableError):  # a full disk: there is no protection then, but the file is read
        note.parent.mkdir(parents=True, exist_ok=True)
        note.write_text(str(count))
        publish(note)


def _count(note: Path) -> int:
    try:
        return int(note.read_text()) if is_there(note) else 0
    except (OSError, ValueError, UnavailableError):
        return 0
