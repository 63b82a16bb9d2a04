"""Finding and opening rain-rate series: event NetCDF files, Zarr archives and RainNet's HDF5 file, read alike."""

import logging
from collections.abc import Iterator
from pathlib import Path
from typing import Final

import numpy as np

from core.errors import ConfigError, FrameError
from training.datasets.cf_fields import open_cf
from training.datasets.radar_series import RadarSeries as RadarSeries
from training.datasets.rydl import open_rydl

log = logging.getLogger(__name__)
RYDL_SUFFIXES: Final = (".hdf5", ".h5")
DUE: Final = "an event NetCDF file, a Zarr archive, RainNet's RYDL.hdf5, or a folder of them"


def open_series(path: Path) -> RadarSeries:
    """Open one NetCDF file, one Zarr folder, or RainNet's HDF5 file.

    Raises:
        FrameError: no rain in a layout that is known, or none with CF times and grid.
    """
    series = open_rydl(path) if path.suffix in RYDL_SUFFIXES else open_cf(path)
    if len(series.minutes) == 0:
        raise FrameError(f"{path.name} holds no field")
    if (np.diff(series.minutes) <= 0).any():
        raise FrameError(f"{path.name}: times do not ascend")
    return series


def find_series(data: Path | None) -> list[RadarSeries]:
    """All series of a file or folder in the order of time; what cannot be read is logged and skipped.

    Raises:
        ConfigError: no such path, or nothing readable in it.
    """
    if data is None or not data.exists():
        came = "no data came" if data is None else f"no data at {data}"
        raise ConfigError(f"{came}: {DUE} was due, --data PATH or a folder ./data/DATASET")
    series: list[RadarSeries] = []
    for path in _candidates(data):
        try:
            series.append(open_series(path))
        except FrameError as err:
            log.warning("skipped %s: %s", path.name, err)
    if not series:
        raise ConfigError(f"nothing in {data} holds rain-rate fields; {DUE} was due")
    return sorted(series, key=lambda one: int(one.minutes[0]))


def _candidates(data: Path) -> Iterator[Path]:
    if data.is_file() or (data / "zarr.json").exists() or (data / ".zgroup").exists():
        yield data
        return
    yield from sorted(path for path in data.iterdir() if path.suffix in (".nc", ".nc4", ".zarr", *RYDL_SUFFIXES))
