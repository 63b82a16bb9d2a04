"""A radar format: a magic word, time and size, then the rates in big-endian float32, the southern row first."""

import struct
from datetime import UTC, datetime
from typing import BinaryIO, Final

import numpy as np

from core.errors import FrameError
from core.frame import RadarFrame
from core.grid import RADOLAN_SPHERE, Grid
from ingest.readers.base import READERS, Reader, limits_of, rate_field

MAGIC: Final = b"NAME-radar-1\n"
HEADER: Final = ">qHH"


def matches(head: bytes) -> bool:
    """Return whether the file begins with the magic word."""
    return head.startswith(MAGIC)


def read(file: BinaryIO) -> list[RadarFrame]:
    """Read the one frame of a file.

    Raises:
        FrameError: the file is cut, or its values are no rain rates.
    """
    content = file.read()
    body = len(MAGIC) + struct.calcsize(HEADER)
    if len(content) < body:
        raise FrameError("the header is cut")
    seconds, height, width = struct.unpack_from(HEADER, content, len(MAGIC))
    limits_of(file).check_cells(height, width)
    if not height * width or len(content) != body + 4 * height * width:
        raise FrameError(f"the file is cut or damaged: {len(content)} bytes for {height} x {width} cells")
    try:
        valid_time = datetime.fromtimestamp(seconds, UTC)
    except (OverflowError, OSError, ValueError) as err:
        raise FrameError(f"the time is damaged: {seconds} s since 1970") from err
    south_first_HW = np.frombuffer(content, ">f4", offset=body).reshape(height, width)
    grid = Grid(RADOLAN_SPHERE, -100_000.0, -4_000_000.0, 2000.0, 2000.0, height, width, "NAME")
    return [RadarFrame(valid_time, grid, rate_field(south_first_HW[::-1]), product="NAME")]


READERS.register("NAME")(Reader(matches, read))
