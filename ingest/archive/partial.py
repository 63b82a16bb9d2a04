"""The part of a file that has been received so far, and how to resume its download."""

import hashlib
import os
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import httpx2 as httpx

from core.errors import UnavailableError

BLOCK_BYTES: Final = 2**20
_MD5: Final = re.compile(r'"?([0-9a-fA-F]{32})"?')
_CONTENT_RANGE: Final = re.compile(r"bytes (?:(\d+)-\d+|\*)/(\d+|\*)")


@dataclass(frozen=True)
class RemoteFile:
    """A file on a server, to download.

    Attributes:
        path: where it is written.
        size_bytes: as the source states it; None if it is not known before.
        md5: as the source states it; None: the server's ETag is used if it is an MD5.
    """

    url: str
    path: Path
    size_bytes: int | None = None
    md5: str | None = None

    @property
    def is_there(self) -> bool:
        """Return whether the file was downloaded; files appear atomically."""
        return self.path.is_file() and self.size_bytes in (None, self.path.stat().st_size)


class PartialDownload:
    """The files `.NAME.part` with the bytes so far, and `.NAME.tag` with the version that they belong to."""

    def __init__(self, file: RemoteFile) -> None:
        self.file = file
        self.path = file.path.with_name(f".{file.path.name}.part")
        self._tag_path = file.path.with_name(f".{file.path.name}.tag")
        self._total_bytes: int | None = None

    @property
    def size_bytes(self) -> int:
        """Return the number of bytes received so far."""
        return self.path.stat().st_size if self.path.exists() else 0

    def headers(self) -> dict[str, str]:
        """Return request headers for the rest if the file is unchanged; for all of it without a version."""
        tag = self._tag_path.read_text() if self._tag_path.exists() else ""
        if not self.size_bytes or not tag:
            return {"Accept-Encoding": "identity"}
        return {"Accept-Encoding": "identity", "Range": f"bytes={self.size_bytes}-", "If-Range": tag}

    def begin(self, response: httpx.Response) -> None:
        """Prepare for the body of a 200 or 206 response."""
        start, total = 0, response.headers.get("content-length")
        if response.status_code == httpx.codes.PARTIAL_CONTENT:
            found = _CONTENT_RANGE.fullmatch(response.headers.get("content-range", ""))
            if found is None or int(found[1] or 0) != self.size_bytes:
                self.drop()
                raise httpx.ReadError(
                    f"content-range {response.headers.get('content-range')!r} is not what was requested"
                )
            start, total = self.size_bytes, None if found[2] == "*" else found[2]
        with self.path.open("ab") as file:
            file.truncate(start)
        etag = response.headers.get("etag", "")
        self._tag_path.write_text(response.headers.get("last-modified", "") if etag[:2] in ("", "W/") else etag)
        self._total_bytes = int(total) if total is not None else self.file.size_bytes

    def is_whole(self, response: httpx.Response) -> bool:
        """Return whether a 416 response means that the file is complete."""
        found = _CONTENT_RANGE.fullmatch(response.headers.get("content-range", ""))
        return found is not None and found[2] == str(self.size_bytes)

    def check_length(self) -> None:
        """Refuse a body that ended early: in HTTP/1.0 a closed connection looks like the end."""
        if self._total_bytes is not None and self.size_bytes != self._total_bytes:
            received = self.size_bytes
            if received > self._total_bytes:
                self.drop()
            raise httpx.ReadError(f"expected {self._total_bytes:,} bytes, got {received:,}")

    def finish(self) -> None:
        """Check size and checksum, and rename the file to its final path.

        Raises:
            UnavailableError: size or checksum are not as the source states; the part is deleted.
        """
        if self.file.size_bytes not in (None, self.size_bytes):
            received = self.size_bytes
            self.drop()
            raise UnavailableError(f"{self.file.url}: expected {self.file.size_bytes:,} bytes, got {received:,}")
        tag = _MD5.fullmatch(self._tag_path.read_text()) if self._tag_path.exists() else None
        expected = self.file.md5 or (tag[1] if tag else None)
        received_md5 = self._md5() if expected else None
        if expected and received_md5 != expected.lower():
            self.drop()
            raise UnavailableError(f"{self.file.url}: expected MD5 {expected}, got {received_md5}; the part is deleted")
        with self.path.open("rb") as file:
            os.fsync(file.fileno())
        self.path.replace(self.file.path)
        self._tag_path.unlink(missing_ok=True)

    def drop(self) -> None:
        """Delete the part and its version."""
        self.path.unlink(missing_ok=True)
        self._tag_path.unlink(missing_ok=True)

    def _md5(self) -> str:
        digest = hashlib.md5(usedforsecurity=False)
        with self.path.open("rb") as file:
            while block := file.read(BLOCK_BYTES):
                digest.update(block)
        return digest.hexdigest()
