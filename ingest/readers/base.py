"""The interface of a reader: does a file's beginning fit the format, and its frames from its bytes."""

import io
from collections.abc import Callable
from dataclasses import dataclass
from typing import BinaryIO, Final

from core.errors import FrameError, TooLargeError
from core.frame import RadarFrame
from core.registry import Registry
from ingest.plausibility import counted_notes
from ingest.plausibility import rate_field as rate_field

HEAD_BYTES: Final = 4096
MAX_BYTES: Final = 512 * 2**20
MAX_FRAMES: Final = 512
MAX_NOTES: Final = 50


@dataclass(frozen=True)
class Reader:
    """The two functions of one radar format.

    Attributes:
        matches: whether the first `HEAD_BYTES` bytes can be of this format.
        read: returns the frames of a whole file in the file's order; FrameError for a damaged or unusable file.
    """

    matches: Callable[[bytes], bool]
    read: Callable[[BinaryIO], list[RadarFrame]]


READERS: Registry[Reader] = Registry("radar format")


class OtherFormatError(FrameError):
    """The first bytes fit, but the content is of another format (as of HDF5 files); the next reader is tried."""


class ProductError(FrameError):
    """A whole file of a known format without rain rates."""


class ForeignError(FrameError):
    """The bytes are not of a known format."""


class ReadLimits:
    """What one call may still unpack: every compression layer and every HDF5 data set counts against it."""

    def __init__(self, max_bytes: int = MAX_BYTES, max_frames: int = MAX_FRAMES, max_cells: int | None = None) -> None:
        self.max_bytes = self._bytes_left = max_bytes
        self.max_frames = max_frames
        self.max_cells = max_cells
        self._fields_by_text: dict[str, list[str]] = {}

    @property
    def notes(self) -> list[str]:
        """Return the remarks on what is read; an equal one on many fields is one note with their number."""
        return counted_notes(self._fields_by_text)

    def leave_out(self, what: str, reason: object) -> None:
        """Note a part of a file that is left out while the others are taken."""
        self._keep(what, f" is left out: {reason}")

    def note(self, text: str, what: str = "") -> None:
        """Keep a remark on a file, or on its field `what`, if there is a text and room for it."""
        if text:
            self._keep(what, f": {text}" if what else text)

    def _keep(self, what: str, text: str) -> None:
        if text in self._fields_by_text or len(self._fields_by_text) < MAX_NOTES:
            fields = self._fields_by_text.setdefault(text, [])
            fields += [what] if what not in fields else []

    def take_bytes(self, count: int, what: str) -> None:
        """Count bytes before or while they are unpacked.

        Raises:
            TooLargeError: the bytes of this call exceed the limit.
        """
        self._bytes_left -= count
        if self._bytes_left < 0:
            raise TooLargeError(f"{what} unpacks to more than the limit of {self.max_bytes:,} bytes")

    def check_cells(self, height: int, width: int) -> None:
        """Refuse a frame with too many grid cells before it is decoded.

        Raises:
            TooLargeError: the frame has more cells than the limit.
        """
        if self.max_cells is not None and height * width > self.max_cells:
            raise TooLargeError(
                f"expected a frame of at most {self.max_cells} cells, got {height} x {width} = "
                f"{height * width} cells (NOWCAST_GRID_MAX_CELLS)"
            )

    def check_frames(self, count: int) -> None:
        """Refuse a file with too many frames before they are decoded.

        Raises:
            TooLargeError: the file has more frames than the limit.
        """
        if count > self.max_frames:
            raise TooLargeError(f"expected at most {self.max_frames:,} frames, got {count:,}")


class Member(io.BytesIO):
    """The unpacked bytes of one file, with its name in the container and the limits of the call."""

    def __init__(self, content: bytes, name: str, limits: ReadLimits) -> None:
        super().__init__(content)
        self.name = name
        self.limits = limits


def limits_of(file: BinaryIO) -> ReadLimits:
    """Return the limits attached to a file, else the default limits."""
    return file.limits if isinstance(file, Member) else ReadLimits()
