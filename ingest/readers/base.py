"""What a reader of a radar format is: a look at the first bytes, then bytes to frames."""

import io
from collections.abc import Callable
from dataclasses import dataclass
from typing import BinaryIO, Final

import numpy as np

from core.arrays import Float32Field, FloatField
from core.errors import FrameError, TooLargeError
from core.frame import RadarFrame
from core.registry import Registry

HEAD_BYTES: Final = 4096
MAX_BYTES: Final = 512 * 2**20
MAX_FRAMES: Final = 512

ROUNDING_MMH: Final = 1e-3
"""A packed zero may come back this far below 0 (gain and offset in single precision)."""


@dataclass(frozen=True)
class Reader:
    """One radar format.

    Attributes:
        matches: whether the first `HEAD_BYTES` bytes can be of this format.
        read: the frames of a whole file in its order; FrameError where it is damaged, foreign or not usable.
    """

    matches: Callable[[bytes], bool]
    read: Callable[[BinaryIO], list[RadarFrame]]


READERS: Registry[Reader] = Registry("radar format")


class OtherFormatError(FrameError):
    """The first bytes fit, the content is another format's (every HDF5 file starts alike): the next reader is asked."""


class ProductError(FrameError):
    """A whole file of a known format that holds no rain."""


class ForeignError(FrameError):
    """Bytes of no format that we know."""


class ReadLimits:
    """What one call may still unpack; every layer and every HDF5 data set takes its bytes from here."""

    def __init__(self, max_bytes: int = MAX_BYTES, max_frames: int = MAX_FRAMES, max_cells: int | None = None) -> None:
        self.max_bytes = self._bytes_left = max_bytes
        self.max_frames = max_frames
        self.max_cells = max_cells

    def take_bytes(self, count: int, what: str) -> None:
        """Count bytes before, or while, they are unpacked.

        Raises:
            TooLargeError: more than the limit altogether.
        """
        self._bytes_left -= count
        if self._bytes_left < 0:
            raise TooLargeError(f"{what} unpacks to more than the limit of {self.max_bytes:,} bytes")

    def check_cells(self, height: int, width: int) -> None:
        """Refuse a frame of more cells than the limit before it is decoded.

        Raises:
            TooLargeError: more than the limit.
        """
        if self.max_cells is not None and height * width > self.max_cells:
            raise TooLargeError(
                f"a frame of {height} x {width} = {height * width} cells; at most {self.max_cells} were due"
            )

    def check_frames(self, count: int) -> None:
        """Refuse more frames than the limit before they are decoded.

        Raises:
            TooLargeError: more than the limit.
        """
        if count > self.max_frames:
            raise TooLargeError(f"{count:,} frames; at most {self.max_frames:,} were due")


class Member(io.BytesIO):
    """The unpacked bytes of one file, with the name it came under and the limits of the call."""

    def __init__(self, content: bytes, name: str, limits: ReadLimits) -> None:
        super().__init__(content)
        self.name = name
        self.limits = limits


def limits_of(file: BinaryIO) -> ReadLimits:
    """The limits that a file came with, else the usual ones."""
    return file.limits if isinstance(file, Member) else ReadLimits()


def rate_field(rate_mmh_HW: FloatField) -> Float32Field:
    """A decoded field as a frame holds it: float32, contiguous, round-off below 0 set to 0.

    Raises:
        FrameError: no rain rate: values below 0, or infinite ones.
    """
    field_HW = np.array(rate_mmh_HW, np.float32, order="C")
    field_HW[np.isnan(field_HW)] = np.nan  # NumPy's fmin and fmax skip values next to a signalling NaN
    lowest, highest = np.fmin.reduce(field_HW, axis=None), np.fmax.reduce(field_HW, axis=None)
    if np.isinf(lowest) or np.isinf(highest):
        raise FrameError("the field holds infinite rates; finite ones or no data were due")
    if lowest < -ROUNDING_MMH:
        raise FrameError(f"the field holds rates down to {lowest:g} mm/h; 0 or more was due")
    if lowest < 0:
        np.maximum(field_HW, 0.0, out=field_HW)
    return field_HW
