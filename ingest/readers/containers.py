"""Unpacking of gzip, bzip2 and tar, nested too, in memory and by content: nothing is written to disk."""

import bz2
import io
import tarfile
from collections.abc import Iterator
from typing import Final

from zlib_ng import zlib_ng

from core.errors import FrameError
from ingest.readers.base import ReadLimits

MAX_DEPTH: Final = 4
MOST_PROVIDER: Final = 120
"""Most characters of a provider: a credit is one line of a map."""

CHUNK_BYTES: Final = 2**22
PACKED_BYTES: Final = 2**16
GZIP_BITS: Final = zlib_ng.MAX_WBITS | 16
"""`wbits` of zlib for a gzip header and checksum."""

TAR_BLOCK: Final = tarfile.BLOCKSIZE

TAR_ERRORS: Final = (tarfile.TarError, EOFError, OSError, ValueError, OverflowError, KeyError, RecursionError)
"""What tarfile raises on damaged headers: it translates only some of the errors to its own."""


def unpack(content: bytes, name: str, limits: ReadLimits, *, depth: int = 0) -> Iterator[tuple[str, bytes]]:
    """Yield name and bytes of every file inside, in the archive's order; of the file itself if it is not a container.

    Names serve messages only (and ASCII grids, which hold no time): no file is ever opened by such a name.

    Raises:
        FrameError: damaged, cut, or packed more than `MAX_DEPTH` times.
        TooLargeError: more bytes than the limit, detected while they are unpacked.
    """
    if content.startswith((b"\x1f\x8b", b"BZh")):
        kind = "gzip" if content[0] == 0x1F else "bzip2"
        inside = iter([(name, _decompress(content, kind, name, limits))])
    elif _is_tar(content):
        inside = _tar_files(content, name)
    else:
        yield name, content
        return
    if depth == MAX_DEPTH:
        raise FrameError(f"{name}: packed more than {MAX_DEPTH} times; expected a radar file within")
    for inner_name, inner in inside:
        yield from unpack(inner, inner_name, limits, depth=depth + 1)


def credit_of(*stated: str) -> str | None:
    """Return the first text that says whose data a file holds, on one line of limited length; None without any."""
    found = next(filter(None, (" ".join(one.split()) for one in stated)), None)
    return printable(found[:MOST_PROVIDER]) if found else None


def printable(name: str) -> str:
    """Return a foreign file name in a form that is safe in messages and logs."""
    return "".join(letter if letter.isprintable() else "?" for letter in name)[-200:]


def _decompress(content: bytes, kind: str, name: str, limits: ReadLimits) -> bytes:
    chunks = []
    try:
        for chunk in _gzip_chunks(content) if kind == "gzip" else _bzip2_chunks(content):
            limits.take_bytes(len(chunk), name)
            chunks.append(chunk)
    except EOFError as err:
        raise FrameError(f"{name}: the {kind} stream is cut after {len(content):,} bytes") from err
    except (OSError, ValueError, zlib_ng.error) as err:  # type: ignore[misc]  # the stubs declare a variable
        raise FrameError(f"{name}: the {kind} stream is damaged: {err}") from err
    return b"".join(chunks)


def _bzip2_chunks(content: bytes) -> Iterator[bytes]:
    opened = bz2.BZ2File(io.BytesIO(content))
    while chunk := opened.read(CHUNK_BYTES):
        yield chunk


def _gzip_chunks(content: bytes) -> Iterator[bytes]:
    """Yield the bytes of all members (RFC 1952) in blocks of limited size; four times as fast as `gzip`.

    Raises:
        EOFError: the last member is cut.
        zlib_ng.error: damaged, or followed by bytes that are neither another member nor zeros.
    """
    at, packed = 0, memoryview(content)
    while at < len(content):
        stream, pending = zlib_ng.decompressobj(GZIP_BITS), b""
        while not stream.eof:
            if not pending:
                pending = bytes(packed[at : at + PACKED_BYTES])
                at += len(pending)
            chunk = stream.decompress(pending, CHUNK_BYTES)
            if not chunk and not pending and not stream.eof:
                raise EOFError
            pending = stream.unconsumed_tail
            yield chunk
        at -= len(stream.unused_data)
        while at < len(content) and content[at] == 0:  # padding to whole blocks, as tapes and some tools write it
            at += 1


def _is_tar(content: bytes) -> bool:
    try:
        tarfile.TarInfo.frombuf(content[:TAR_BLOCK], "utf-8", "surrogateescape")
    except TAR_ERRORS:
        return False
    return True


def _tar_files(content: bytes, name: str) -> Iterator[tuple[str, bytes]]:
    """Yield name and bytes of the regular files; links, folders and devices are ignored.

    tarfile accepts an archive that is cut at or within a later header as complete, so the end mark is checked here.
    """
    end = 0
    try:
        with tarfile.open(fileobj=io.BytesIO(content), mode="r:") as archive:
            for member in archive:
                data_end = member.offset_data + (0 if not member.isreg() else member.size)
                if member.sparse is not None or member.offset_data <= end or data_end > len(content):
                    raise FrameError(
                        f"{name}: member {printable(member.name)} does not fit into the archive: cut or forged"
                    )
                end = -(-data_end // TAR_BLOCK) * TAR_BLOCK
                if member.isreg():
                    yield f"{name}/{printable(member.name)}", content[member.offset_data : data_end]
    except TAR_ERRORS as err:
        raise FrameError(f"{name}: damaged tar archive: {err}") from err
    if content[end : end + TAR_BLOCK] != bytes(TAR_BLOCK):
        raise FrameError(f"{name}: the tar archive is cut: no end mark after byte {end:,}")
