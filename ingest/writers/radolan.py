"""Writing of RADOLAN binary RY files, byte for byte as DWD does (format version 3, 900 x 900 cells on the sphere)."""

import bz2
import gzip
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import BinaryIO, Final

import numpy as np

from core.arrays import Float32Field
from core.errors import FrameError
from core.files import write_bytes_atomically
from core.grid import RADOLAN_900
from ingest.radar_sites import DWD_RADARS

COUNT_MMH: Final = 0.12
"""Rate of one count of RY, 0.01 mm in 5 minutes, in mm/h."""

NO_DATA: Final = 0x29C4
"""Flag 0x2000 and the value 2500 that DWD writes with it."""

LARGEST_COUNT: Final = 0x0FFF
"""Values have 12 bits: at most 491.4 mm/h."""

HEADER_END: Final = b"\x03"
INVENTED: Final = "invented"
"""Version of the software in files of synthetic weather, which are otherwise as DWD's: nobody is credited with them."""


def ry_file_name(valid_time: datetime) -> str:
    """Return DWD's name of a gzipped RY file."""
    return f"raa01-ry_10000-{valid_time.astimezone(UTC):%y%m%d%H%M}-dwd---bin.gz"


def ry_bytes(
    rate_mmh_HW: Float32Field,
    valid_time: datetime,
    *,
    radars: Sequence[str] = tuple(DWD_RADARS),
    software: str = "2.29.1",
) -> bytes:
    """Return a whole RY file, not compressed.

    Args:
        rate_mmh_HW: mm/h on 900 x 900 cells, row 0 in the north, NaN where not observed; rounded to 0.12 mm/h and
            limited to 491.4 mm/h, the largest rate of the format.
        valid_time: end of the five minutes, at a whole minute.
        radars: sites in the header.
        software: version text in the header, at most nine characters.

    Raises:
        FrameError: another grid, a negative rate, a time within a minute, or a text that is too long for its field.
    """
    if rate_mmh_HW.shape != RADOLAN_900.shape:
        raise FrameError(f"RY file: expected a field of shape {RADOLAN_900.shape}, got {rate_mmh_HW.shape}")
    if valid_time.utcoffset() is None or valid_time.second or valid_time.microsecond:
        raise FrameError(f"RY file: expected an aware time at a whole minute, got {valid_time!r}")
    with np.errstate(invalid="ignore"):
        if (rate_mmh_HW < 0).any():
            raise FrameError(f"RY file: expected rates of 0 mm/h or more, got {np.nanmin(rate_mmh_HW)}")
        counts_HW = np.minimum(np.rint(np.nan_to_num(rate_mmh_HW, posinf=1e6) / COUNT_MMH), LARGEST_COUNT)
    counts_HW = np.where(np.isnan(rate_mmh_HW), NO_DATA, counts_HW).astype("<u2")
    content = counts_HW[::-1].tobytes()  # the file starts with the southern row
    return _header(valid_time.astimezone(UTC), radars, software, len(content)) + content


def write_ry(
    path_or_file: str | Path | BinaryIO,
    rate_mmh_HW: Float32Field,
    valid_time: datetime,
    *,
    radars: Sequence[str] = tuple(DWD_RADARS),
    software: str = "2.29.1",
) -> None:
    """Write an RY file; a path is written atomically and compressed according to its suffix (.gz, .bz2).

    Raises:
        FrameError: as `ry_bytes`.
    """
    content = ry_bytes(rate_mmh_HW, valid_time, radars=radars, software=software)
    if not isinstance(path_or_file, str | Path):
        path_or_file.write(content)
        return
    path = Path(path_or_file)
    if path.suffix == ".gz":  # without the time of writing, so that equal weather is equal bytes
        content = gzip.compress(content, compresslevel=6, mtime=0)
    elif path.suffix == ".bz2":
        content = bz2.compress(content)
    write_bytes_atomically(path, content)


def _header(valid_time: datetime, radars: Sequence[str], software: str, content_bytes: int) -> bytes:
    """Return the ASCII header with its end mark; `BY` counts the header too."""
    sites = f"<{','.join(radars)}> "
    if len(software) > 9 or len(sites) > 999:
        raise FrameError(
            f"RY header: expected software of at most 9 and sites of at most 999 characters, got {software!r} and "
            f"{len(sites)} characters"
        )
    rows, cols = RADOLAN_900.shape
    before = f"RY{valid_time:%d%H%M}10000{valid_time:%m%y}BY"
    after = f"VS 3SW{software:>9}PR E-02INT   5GP{rows:4d}x{cols:4d}MS{len(sites):3d}{sites}"
    total = len(before) + 7 + len(after) + len(HEADER_END) + content_bytes
    return f"{before}{total:7d}{after}".encode("ascii") + HEADER_END
