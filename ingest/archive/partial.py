"""The part of a file that has come so far, and what it takes to go on with it."""

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
    """A file to fetch.

    Attributes:
        path: where it goes.
        size_bytes: as the source states it; None: not known before.
        md5: as the source states it; None: the server's ETag counts where it is an MD5.
    """

    url: str
    path: Path
    size_bytes: int | None = None
    md5: str | None = None

    @property
    def is_there(self) -> bool:
        """Whether it was fetched; files appear whole."""
        return self.path.is_file() and self.size_bytes in (None, self.path.stat().st_size)


class PartialDownload:
    """`.NAME.part`, and in `.NAME.tag` the version of the file that it is a part of."""

    def __init__(self, file: RemoteFile) -> None:
        self.file = file
        self.path = file.path.with_name(f".{file.path.name}.part")
        self._tag_path = file.path.with_name(f".{file.path.name}.tag")
        self._total_bytes: int | None = None

    @property
    def size_bytes(self) -> int:
        """How much has come."""
        return self.path.stat().st_size if self.path.exists() else 0

    def headers(self) -> dict[str, str]:
        """Ask for the rest, if it is still the same file; for all of it where that cannot be told."""
        tag = self._tag_path.read_text() if self._tag_path.exists() else ""
        if not self.size_bytes or not tag:
            return {"Accept-Encoding": "identity"}
        return {"Accept-Encoding": "identity", "Range": f"bytes={self.size_bytes}-", "If-Range": tag}

    def begin(self, response: httpx.Response) -> None:
        """Make ready for the body of a 200 or 206 answer."""
        start, total = 0, response.headers.get("content-length")
        if response.status_code == httpx.codes.PARTIAL_CONTENT:
            found = _CONTENT_RANGE.fullmatch(response.headers.get("content-range", ""))
            if found is None or int(found[1] or 0) != self.size_bytes:
                self.drop()
                raise httpx.ReadError(f"content-range {response.headers.get('content-range')!r} is not what was asked")
            start, total = self.size_bytes, None if found[2] == "*" else found[2]
        with self.path.open("ab") as file:
            file.truncate(start)
        etag = response.headers.get("etag", "")
        self._tag_path.write_text(response.headers.get("last-modified", "") if etag[:2] in ("", "W/") else etag)
        self._total_bytes = int(total) if total is not None else self.file.size_bytes

    def is_whole(self, response: httpx.Response) -> bool:
        """Whether a 416 answer means that all of it is here."""
        found = _CONTENT_RANGE.fullmatch(response.headers.get("content-range", ""))
        return found is not None and found[2] == str(self.size_bytes)

    def check_length(self) -> None:
        """Refuse a body that ended early: a closed connection looks like an end to HTTP/1.0."""
        if self._total_bytes is not None and self.size_bytes != self._total_bytes:
            came = self.size_bytes
            if came > self._total_bytes:
                self.drop()
            raise httpx.ReadError(f"{came:,} bytes came; {self._total_bytes:,} were due")

    def finish(self) -> None:
        """Check it and give it its name.

        Raises:
            UnavailableError: size or checksum are not as the source states; the part is dropped.
        """
        if self.file.size_bytes not in (None, self.size_bytes):
            came = self.size_bytes
            self.drop()
            raise UnavailableError(f"{self.file.url}: {came:,} bytes; {self.file.size_bytes:,} were due")
        tag = _MD5.fullmatch(self._tag_path.read_text()) if self._tag_path.exists() else None
        due = self.file.md5 or (tag[1] if tag else None)
        came_md5 = self._md5() if due else None
        if due and came_md5 != due.lower():
            self.drop()
            raise UnavailableError(f"{self.file.url}: MD5 {came_md5}; {due} was due; what came is dropped")
        with self.path.open("rb") as file:
            os.fsync(file.fileno())
        self.path.replace(self.file.path)
        self._tag_path.unlink(missing_ok=True)

    def drop(self) -> None:
        """Begin anew."""
        self.path.unlink(missing_ok=True)
        self._tag_path.unlink(missing_ok=True)

    def _md5(self) -> str:
        digest = hashlib.md5(usedforsecurity=False)
        with self.path.open("rb") as file:
            while block := file.read(BLOCK_BYTES):
                digest.update(block)
        return digest.hexdigest()
