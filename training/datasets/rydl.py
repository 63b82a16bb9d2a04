"""RainNet's archive of the RY product (Ayzel 2020, doi:10.5281/zenodo.3629951): one HDF5 data set per scan."""

from dataclasses import dataclass
from pathlib import Path
from typing import Final

import h5py
import numpy as np

from core.arrays import Float32Field
from core.errors import FrameError
from core.grid import RADOLAN_900
from training.datasets.radar_series import RadarSeries

MMH_PER_MM_IN_5_MIN: Final = 12.0
KEY_DIGITS: Final = 12


@dataclass
class RydlFields:
    """Fields by their keys, 12-digit times: mm in 5 minutes, rows from the south as in DWD's binary files."""

    path: Path
    keys: list[str]
    time_chunk: int = 1

    def read(self, which: slice) -> Float32Field:
        """Fields in mm/h, row 0 in the north; negative values are not observed."""
        with h5py.File(self.path, "r") as file:  # opened anew: a handle does not survive the fork of a loader's worker
            depth_mm_THW = np.stack([np.asarray(file[key], np.float32) for key in self.keys[which]])
        depth_mm_THW[depth_mm_THW < 0] = np.nan
        return depth_mm_THW[:, ::-1] * np.float32(MMH_PER_MM_IN_5_MIN)


def open_rydl(path: Path) -> RadarSeries:
    """Open an HDF5 file in the layout of RYDL.hdf5.

    Raises:
        FrameError: no HDF5 file, keys that are no times, or data sets that are no fields.
    """
    try:
        with h5py.File(path, "r") as file:
            keys = sorted(file)
            shape = tuple(int(n) for n in getattr(file[keys[0]], "shape", ())) if keys else ()
    except OSError as err:
        raise FrameError(f"{path.name} is no HDF5 file ({err})") from err
    if len(shape) != 2:
        raise FrameError(
            f"{path.name} holds {keys[:3] or 'nothing'}; fields named by their time, as 200603010000, were due"
        )
    unknown = [key for key in keys if not (len(key) == KEY_DIGITS and key.isdigit())]
    if unknown:
        raise FrameError(f"{path.name} holds {unknown[0]}; fields named by their time, as 200603010000, were due")
    try:
        times = np.array([f"{k[:4]}-{k[4:6]}-{k[6:8]}T{k[8:10]}:{k[10:]}" for k in keys], "datetime64[m]")
    except ValueError as err:
        raise FrameError(f"{path.name}: {err}; times as 200603010000 were due as names of the fields") from err
    minutes = times.astype(np.int64)
    height, width = shape
    pixel_m = RADOLAN_900.pixel_m * RADOLAN_900.height / height
    return RadarSeries(path, minutes, pixel_m, (height, width), RydlFields(path, keys))
