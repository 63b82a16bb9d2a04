"""The radar files of one unit of work, streamed one by one: plain, compressed, in tar, tar in tar."""

import bz2
import gzip
import io
import shutil
import tarfile
import tempfile
import zlib
from collections.abc import Generator, Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import BinaryIO, Final, cast

from core.errors import FrameError
from core.frame import RadarFrame
from ingest.archive.fields import Load, Loader, field_pieces, is_field_file
from ingest.archive.units import Unit
from ingest.readers import read_frames
from ingest.readers.base import MAX_BYTES
from ingest.readers.cf_netcdf import NETCDF3_STARTS
from ingest.readers.containers import MAX_DEPTH, TAR_ERRORS, printable
from ingest.readers.hdf5 import MAGIC

HEAD_BYTES: Final = 4096
BUFFER_BYTES: Final = 2**20
GZIP: Final = b"\x1f\x8b"
FIELD_FILES: Final = (MAGIC, *NETCDF3_STARTS)
STREAM_ERRORS: Final = (*TAR_ERRORS, zlib.error)
"""Errors of damaged archives while they are streamed."""


@dataclass(frozen=True)
class Piece:
    """One radar file, or one field of a file of many fields.

    Attributes:
        name: path below the source folder, members of archives after a slash.
        load: returns its frames and adds to a list of notes what it leaves out, only while the piece is the newest one,
            since archives are streams; FrameError if it is damaged, of an unknown format or without rain rates.
        at_bytes: its position in the unit's files, for the progress bar.
    """

    name: str
    load: Load
    at_bytes: int


def pieces(unit: Unit, root: Path) -> Generator[Piece, None, None]:
    """Yield all pieces of a unit in a reproducible order; a file that does not open is a piece that does not load."""
    before = 0
    for relative in unit.files:
        path = root / relative
        if path.is_dir():  # a Zarr store
            yield from (Piece(name, load, before) for name, load in field_pieces(path, relative, ()))
            continue
        try:
            with path.open("rb", buffering=0) as raw:
                for name, load in _of_file(path, relative, raw, unit):
                    yield Piece(name, load, before + raw.tell())
            before += path.stat().st_size
        except OSError as err:
            reason = f"{relative}: cannot be read: {err.strerror or err}"
            yield Piece(relative, partial(_fail, reason), before)


def _of_file(path: Path, name: str, raw: io.FileIO, unit: Unit) -> Iterator[Loader]:
    if is_field_file(path):
        yield from field_pieces(path, name, unit.keys)
    else:
        yield from _stream(raw, name, depth=0)


def _stream(source: object, name: str, *, depth: int) -> Iterator[Loader]:
    """Yield the file itself, or the files of a container; damage affects only the member that it is in."""
    with io.BufferedReader(cast(io.RawIOBase, source), BUFFER_BYTES) as file:
        try:
            yield from _opened(file, file.peek(HEAD_BYTES)[:HEAD_BYTES], name, depth=depth)
        except STREAM_ERRORS as err:
            yield name, partial(_fail, f"{name}: damaged archive: {err or type(err).__name__}")


def _opened(file: BinaryIO, head: bytes, name: str, *, depth: int) -> Iterator[Loader]:
    if depth > MAX_DEPTH:
        yield name, partial(_fail, f"{name}: packed more than {MAX_DEPTH} times; expected a radar file within")
    elif head.startswith(GZIP) and _holds_container(head):
        yield from _stream(gzip.GzipFile(fileobj=file), name, depth=depth + 1)
    elif head.startswith(b"BZh"):
        yield from _stream(bz2.BZ2File(file), name, depth=depth + 1)
    elif _is_tar(head):
        yield from _members(file, name, depth=depth)
    elif depth > 0 and head.startswith(FIELD_FILES):
        yield from _fields(file, name)
    else:
        yield name, partial(_read, file, name)


def _fields(file: BinaryIO, name: str) -> Iterator[Loader]:
    """Yield the fields of a packed file of many fields one by one, as a day of RADKLIM, which no memory need hold."""
    with tempfile.NamedTemporaryFile() as held:
        shutil.copyfileobj(file, held, BUFFER_BYTES)
        held.flush()
        path = Path(held.name)
        if is_field_file(path):
            yield from field_pieces(path, name, ())
        else:
            with path.open("rb") as whole:
                yield name, partial(_read, whole, name)


def _members(file: BinaryIO, name: str, *, depth: int) -> Iterator[Loader]:
    with tarfile.open(fileobj=file, mode="r|") as archive:
        for member in archive:
            inner = archive.extractfile(member) if member.isreg() else None
            if inner is not None:
                yield from _stream(inner, f"{name}/{printable(member.name)}", depth=depth + 1)


def _read(file: BinaryIO, name: str, notes: list[str]) -> list[RadarFrame]:
    try:
        content = file.read(MAX_BYTES + 1)
    except STREAM_ERRORS as err:
        raise FrameError(f"{name}: cut or damaged: {err or type(err).__name__}") from err
    return read_frames(content, name=name, notes=notes)


def _holds_container(head: bytes) -> bool:
    """Return whether a gzip stream holds an archive; the readers unpack a single radar file themselves, and faster."""
    try:
        inside = zlib.decompressobj(wbits=31).decompress(head, tarfile.BLOCKSIZE)
    except zlib.error:
        return False
    return inside.startswith((GZIP, b"BZh")) or _is_tar(inside)


def _is_tar(head: bytes) -> bool:
    try:
        tarfile.TarInfo.frombuf(head[: tarfile.BLOCKSIZE], "utf-8", "surrogateescape")
    except STREAM_ERRORS:
        return False
    return True


def _fail(reason: str, _notes: list[str]) -> list[RadarFrame]:
    raise FrameError(reason)
