"""Any radar file, packed or not, to frames: the one entry of the readers."""

from pathlib import Path

from core.errors import FrameError, TooLargeError
from core.frame import RadarFrame
from ingest.readers.base import (
    HEAD_BYTES,
    MAX_BYTES,
    MAX_FRAMES,
    READERS,
    ForeignError,
    Member,
    OtherFormatError,
    ReadLimits,
)
from ingest.readers.containers import printable, unpack


def read_frames(
    source: str | Path | bytes,
    *,
    name: str = "",
    max_bytes: int = MAX_BYTES,
    max_frames: int = MAX_FRAMES,
    max_cells: int | None = None,
) -> list[RadarFrame]:
    """Read all frames of a file in its order; gzip, bzip2, tar and the format are found by content.

    Args:
        source: a file, or its bytes.
        name: what messages call it, by default the file's name; only an ASCII grid takes its time from it.
        max_bytes: at most so many bytes, packed and unpacked.
        max_frames: at most so many frames.
        max_cells: a frame has at most so many cells, by its header; None: any number.

    Raises:
        FrameError: empty, cut, damaged, foreign, or of a product that is no rain rate.
        TooLargeError: over a limit; bytes are counted while they are unpacked.
    """
    source = Path(source) if isinstance(source, str) else source
    label = printable(name or (source.name if isinstance(source, Path) else "upload"))
    content = _content(source, label, max_bytes)
    limits = ReadLimits(max_bytes, max_frames, max_cells)
    frames: list[RadarFrame] = []
    for member_name, member in unpack(content, label, limits):
        frames += _read_member(member, member_name, limits)
        if len(frames) > max_frames:
            raise TooLargeError(f"{label}: more than {max_frames:,} frames; no more were due")
    if not frames:
        raise FrameError(f"{label}: holds no file; at least one radar frame was due")
    return frames


def _content(source: Path | bytes, label: str, max_bytes: int) -> bytes:
    try:
        size = source.stat().st_size if isinstance(source, Path) else len(source)
        if size > max_bytes:
            raise TooLargeError(f"{label}: {size:,} bytes; at most {max_bytes:,} were due")
        return source.read_bytes() if isinstance(source, Path) else source
    except OSError as err:
        raise FrameError(f"{label}: cannot be read: {err.strerror or err}; a readable file was due") from err


def _read_member(content: bytes, name: str, limits: ReadLimits) -> list[RadarFrame]:
    if not content:
        raise FrameError(f"{name}: empty (0 bytes); a radar file was due")
    others = []
    for format_name, reader in READERS.items():
        if not reader.matches(content[:HEAD_BYTES]):
            continue
        try:
            return reader.read(Member(content, name, limits))
        except OtherFormatError as err:
            others.append(str(err))
        except (FrameError, TooLargeError) as err:
            raise type(err)(f"{name}: {err}") from err
        except MemoryError:
            raise  # for whoever set a limit, or has none left
        except Exception as err:  # decoders of other people raise anything on hostile bytes
            raise FrameError(f"{name}: damaged {format_name} file: {type(err).__name__}: {err}") from err
    came = "; ".join(others) or f"starts with {content[:12]!r}"
    raise ForeignError(f"{name}: {came}; one of the formats {', '.join(READERS.names())} was due")
