"""Pictures as responses, with the credit of their data in the file: it stays with a picture that is passed on."""

import struct
import zlib
from collections.abc import Mapping
from typing import Final

from fastapi import Response

PNG: Final = "image/png"
AFTER_HEADER: Final = 33
"""Bytes of the signature and of the chunk IHDR, which is the first of every PNG."""

KEYWORD: Final = "Copyright"


def picture_answer(png: bytes, credit: str, headers: Mapping[str, str]) -> Response:
    """Return a PNG as a response, with the credit of its data in its text."""
    return Response(credited(png, credit), media_type=PNG, headers=dict(headers))


def credited(png: bytes, credit: str) -> bytes:
    """Return a PNG with a text `Copyright` in UTF-8 (chunk iTXt; PNG third edition, 11.3.3.4)."""
    content = KEYWORD.encode() + bytes(5) + credit.encode()  # not compressed, of no language, not translated
    checksum = zlib.crc32(b"iTXt" + content)
    chunk = struct.pack(">I", len(content)) + b"iTXt" + content + struct.pack(">I", checksum)
    return png[:AFTER_HEADER] + chunk + png[AFTER_HEADER:]
