"""RainNet's archive of the RY product, RYDL.hdf5 (Ayzel 2020, doi:10.5281/zenodo.3629951): one HDF5 data set per scan.

It is not a format of `READERS`: the file has 173,345 fields and is read field by field, not from bytes. A data set is
named by its time, as 200603010000, and holds depths in mm of 5 minutes, rows from the south.
"""

import re
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final

import h5py
import numpy as np

from core.arrays import Float32Field
from core.errors import FrameError
from core.units import rate_from_depth
from ingest.plausibility import rate_field, without_marks

INTERVAL_MINUTES: Final = 5
_KEY: Final = re.compile(r"\d{12}")
_EXPECTED: Final = "expected fields named by their time, as 200603010000"


def open_keys(path: Path) -> tuple[list[str], tuple[int, int]]:
    """Return the names of all fields, ascending in time, and the shape of the first.

    Raises:
        FrameError: not an HDF5 file, names that are not times, or data sets that are not fields.
    """
    try:
        with h5py.File(path, "r") as root:
            keys = sorted(root)
            shape = tuple(int(n) for n in getattr(root[keys[0]], "shape", ())) if keys else ()
    except (OSError, RuntimeError, ValueError, KeyError, TypeError) as err:  # names can be bytes and text
        raise FrameError(f"{path.name}: expected an HDF5 file, got {err}") from err
    unknown = [key for key in keys if not _KEY.fullmatch(key)]
    if unknown or len(shape) != 2:
        raise FrameError(f"{path.name}: {_EXPECTED}, got {unknown[:1] or keys[:3] or 'nothing'}")
    return keys, (shape[0], shape[1])


def rydl_keys(path: Path) -> list[str]:
    """Return the names of all fields, ascending in time; none for a file of another layout."""
    try:
        keys, _ = open_keys(path)
    except FrameError:
        return []
    return keys


def key_time(key: str) -> datetime:
    """Return the end of a field's interval.

    Raises:
        FrameError: the name is not a time.
    """
    try:
        return datetime.strptime(key, "%Y%m%d%H%M").replace(tzinfo=UTC)
    except ValueError as err:
        raise FrameError(f"{key}: {_EXPECTED}, got {err}") from err


def read_field(root: Any, key: str) -> Float32Field:
    """Return one field in mm/h, row 0 in the north; a negative depth or a fill value is "not observed".

    Args:
        root: the open h5py file.
        key: the field's name.

    Raises:
        FrameError: the data set is damaged, has another shape or no depths of rain.
    """
    try:
        depth_mm_HW = np.asarray(root[key], np.float64)
    except (OSError, KeyError, ValueError, TypeError) as err:
        raise FrameError(f"{key}: damaged field: {err}") from err
    if depth_mm_HW.ndim != 2:
        raise FrameError(f"{key}: expected a field of (rows, columns), got the shape {depth_mm_HW.shape}")
    depth_mm_HW = np.where(depth_mm_HW >= 0, depth_mm_HW, np.nan)
    return rate_field(rate_from_depth(without_marks(depth_mm_HW)[0][::-1], INTERVAL_MINUTES))
