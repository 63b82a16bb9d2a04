"""Atomic writing of files, and their checksums: a crash leaves complete files only, and a damaged one is detected.

A checksum is the last 32 bytes of its own file (decision 0090): a mark, the length of the content, and the first half
of its SHA-256. HDF5, and so NetCDF-4, ignores bytes after its own end, so that every program reads such a file.
"""

import hashlib
import os
import struct
import tempfile
from collections.abc import Callable
from functools import lru_cache
from pathlib import Path
from typing import Final

MARK: Final = b"nowcast\x01"
SEAL: Final = b"nowcast\x02"
"""Mark of the checksum that a store of files adds to a content without one, and takes off again."""

CHECKSUM: Final = struct.Struct("<8sQ16s")
"""Mark, number of bytes before it, first 16 bytes of their SHA-256."""

CHECKED_FILES: Final = 4096


class DamagedFileError(OSError):
    """The content of a file is not what was written to it; `path` is the file."""

    def __init__(self, path: Path, reason: str) -> None:
        super().__init__(f"{path.name} is damaged: {reason}")
        self.path = path


def damage_in(error: BaseException | None) -> DamagedFileError | None:
    """Return the damaged file that an error, or one of its causes, reports; None without any."""
    while error is not None and not isinstance(error, DamagedFileError):
        error = error.__cause__
    return error


def add_checksum(path: Path) -> None:
    """Append the checksum of a file's content to it."""
    content = path.read_bytes()
    with path.open("ab") as file:
        file.write(CHECKSUM.pack(MARK, len(content), _digest(content)))


def check_file(path: Path) -> bool:
    """Return whether a file has a checksum; one that was found to be right is read again only after a change.

    Raises:
        DamagedFileError: the checksum is another one than that of the content.
        OSError: the file cannot be read.
    """
    status = path.stat()
    fits = _fits(str(path), status.st_ino, status.st_size, status.st_mtime_ns, status.st_ctime_ns)
    if fits is False:
        raise DamagedFileError(path, "its checksum does not fit its content")
    return fits is not None


@lru_cache(maxsize=CHECKED_FILES)
def _fits(path: str, *_signature: int) -> bool | None:
    """Return whether content and checksum fit; None without a checksum."""
    content = memoryview(Path(path).read_bytes())
    return _is_whole(content) if _mark_of(content) == MARK else None


def sealed(content: bytes) -> bytes:
    """Return a content as a store of files keeps it: with a checksum, its own that fits or an added one."""
    if _mark_of(content) == MARK and _is_whole(content):
        return content
    return content + CHECKSUM.pack(SEAL, len(content), _digest(content))


def unsealed(content: bytes, path: Path) -> bytes:
    """Return the content that was sealed.

    Args:
        content: as the store keeps it.
        path: of the file, for the error.

    Raises:
        DamagedFileError: the checksum is missing, or another one than that of the content.
    """
    mark = _mark_of(content)
    if mark not in (MARK, SEAL) or not _is_whole(content):
        raise DamagedFileError(path, "in the store of files its checksum does not fit its content")
    return content if mark == MARK else content[: -CHECKSUM.size]


def _mark_of(content: bytes | memoryview) -> bytes:
    """Return what stands where a checksum has its mark; too short a content has none."""
    return bytes(content[-CHECKSUM.size :][: len(MARK)]) if len(content) >= CHECKSUM.size else b""


def _is_whole(content: bytes | memoryview) -> bool:
    """Return whether the checksum at the end of a content is that of the content before it."""
    _, length, digest = CHECKSUM.unpack(content[-CHECKSUM.size :])
    return bool(length == len(content) - CHECKSUM.size and digest == _digest(content[: -CHECKSUM.size]))


def _digest(content: bytes | memoryview) -> bytes:
    return hashlib.sha256(content).digest()[:16]


def write_atomically(
    path: str | Path, write: Callable[[Path], object], *, checksum: bool = False, mode: int = 0o644
) -> None:
    """Call `write` with a temporary file in the folder of `path`, sync it and rename it to `path`.

    A reader sees the old file or the new one, never a partial one; a crash leaves at most a hidden temporary file.

    Args:
        path: of the file.
        write: writes the content.
        checksum: append one, by which `check_file` detects damage; for formats that ignore bytes after their end.
        mode: permissions of the file.
    """
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    handle, name = tempfile.mkstemp(prefix=f".{path.name}.", suffix=".part", dir=path.parent)
    os.close(handle)
    temporary = Path(name)
    try:
        write(temporary)
        if checksum:
            add_checksum(temporary)
        with temporary.open("rb") as written:
            os.fsync(written.fileno())
        temporary.chmod(mode)
        temporary.replace(path)
    except BaseException:
        temporary.unlink(missing_ok=True)
        raise
    folder = os.open(path.parent, os.O_RDONLY)
    try:
        os.fsync(folder)
    finally:
        os.close(folder)


def write_bytes_atomically(path: str | Path, content: bytes, *, mode: int = 0o644) -> None:
    """Write bytes by `write_atomically`."""
    write_atomically(path, lambda temporary: temporary.write_bytes(content), mode=mode)
