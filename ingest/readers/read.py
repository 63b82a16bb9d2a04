"""The single entry to all readers: any radar file, packed or not, to frames."""

import logging
from collections.abc import Sequence
from pathlib import Path
from typing import Final

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
from ingest.readers.cf_zarr import read_folder
from ingest.readers.containers import printable, unpack

log: Final = logging.getLogger(__name__)


def read_frames(
    source: str | Path | bytes,
    *,
    name: str = "",
    max_bytes: int = MAX_BYTES,
    max_frames: int = MAX_FRAMES,
    max_cells: int | None = None,
    notes: list[str] | None = None,
) -> list[RadarFrame]:
    """Read all frames of a file in the file's order; compression, tar and format are detected from the content.

    Args:
        source: path of a file or of a Zarr store's folder, or the bytes of a file.
        name: of the file in messages, by default that of the path; only an ASCII grid takes its time from it.
        max_bytes: limit on the size, packed and unpacked.
        max_frames: limit on the number of frames.
        max_cells: limit on the grid cells of a frame, by its header; None is no limit.
        notes: receives what is left out of a file whose other parts are taken, with the reason.

    Raises:
        FrameError: empty, cut, damaged, of an unknown format, or of a product without rain rates.
        TooLargeError: over a limit; bytes are counted while they are unpacked.
    """
    source = Path(source) if isinstance(source, str) else source
    label = printable(name or (source.name if isinstance(source, Path) else "upload"))
    limits = ReadLimits(max_bytes, max_frames, max_cells)
    if isinstance(source, Path) and source.is_dir():
        frames = read_folder(source, limits)
    else:
        frames = _taken(_content(source, label, max_bytes), label, limits)
    for note in limits.notes:
        log.warning("%s", note)
    if notes is not None:
        notes += limits.notes
    return frames


def analyses_of(frames: Sequence[RadarFrame]) -> tuple[list[RadarFrame], str | None]:
    """Return the observations among frames and a note on the forecasts left out; all frames if all are forecasts."""
    observed = [frame for frame in frames if not frame.is_forecast]
    if not observed or len(observed) == len(frames):
        return list(frames), None
    product = next(frame.product for frame in frames if frame.is_forecast)
    return observed, f"{len(frames) - len(observed)} forecasts of {product} are left out; their analyses are used"


def _taken(content: bytes, label: str, limits: ReadLimits) -> list[RadarFrame]:
    """Return the frames of all radar files of an archive, or of the file itself; the others are noted in `limits`."""
    frames: list[RadarFrame] = []
    refusals: list[FrameError] = []
    for member_name, member in unpack(content, label, limits):
        try:
            frames += _read_member(member, member_name, limits)
        except FrameError as err:
            limits.leave_out(member_name, str(err).removeprefix(f"{member_name}: "))
            refusals.append(err)
        if len(frames) > limits.max_frames:
            raise TooLargeError(f"{label}: expected at most {limits.max_frames:,} frames, got more")
    if not frames:
        nothing = FrameError(f"{label}: expected at least one radar frame, got an archive without files")
        raise _reason(refusals) or nothing
    return frames


def _reason(refusals: Sequence[FrameError]) -> FrameError | None:
    """Return why no frame was read: the first damaged radar file, before files that are not of radar at all."""
    of_radar = [err for err in refusals if not isinstance(err, ForeignError)]
    return next(iter(of_radar or refusals), None)


def _content(source: Path | bytes, label: str, max_bytes: int) -> bytes:
    try:
        size = source.stat().st_size if isinstance(source, Path) else len(source)
        if size > max_bytes:
            raise TooLargeError(f"{label}: expected at most {max_bytes:,} bytes, got {size:,}")
        return source.read_bytes() if isinstance(source, Path) else source
    except OSError as err:
        raise FrameError(f"{label}: cannot be read: {err.strerror or err}") from err


def _read_member(content: bytes, name: str, limits: ReadLimits) -> list[RadarFrame]:
    if not content:
        raise FrameError(f"{name}: expected a radar file, got an empty one (0 bytes)")
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
            raise  # the sandbox reports its memory limit
        except Exception as err:  # third-party decoders raise anything on hostile bytes
            raise FrameError(f"{name}: damaged {format_name} file: {type(err).__name__}: {err}") from err
    got = "; ".join(others) or f"a file that starts with {content[:12]!r}"
    raise ForeignError(f"{name}: expected one of the formats {', '.join(READERS.names())}, got {got}")
