"""Finding and opening of rain-rate series: event NetCDF files, Zarr archives and RainNet's HDF5 file."""

import logging
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import Final

import h5py
import numpy as np

from core.arrays import Float32Field
from core.cells import cell_edges_m
from core.errors import ConfigError, FrameError
from core.grid import RADOLAN_900
from ingest.readers.rydl import key_time, open_keys, read_field
from training.datasets.cf_fields import open_cf
from training.datasets.field_cache import cache_folder
from training.datasets.radar_series import RadarSeries as RadarSeries
from training.datasets.series_files import RYDL_SUFFIXES, series_files

log = logging.getLogger(__name__)
SAME_CELLS: Final = 0.01
"""Largest relative difference of cell sizes that count as one size."""
LONGEST_PAUSE_MINUTES: Final = 60
"""Longest pause between files that continue each other."""
EXPECTED: Final = (
    "expected an event NetCDF file, a Zarr archive, RainNet's RYDL.hdf5, or a folder or tar archive of them"
)


def open_series(path: str | Path) -> RadarSeries:
    """Open one NetCDF file, one Zarr folder, or RainNet's HDF5 file.

    Raises:
        FrameError: no rain in a known layout, or none with CF times and grid.
    """
    path = Path(path)
    series = _open_rydl(path) if path.suffix in RYDL_SUFFIXES else open_cf(path)
    if len(series.minutes) == 0:
        raise FrameError(f"{path.name}: expected at least one field, got none")
    if (np.diff(series.minutes) <= 0).any():
        raise FrameError(f"{path.name}: expected ascending times")
    return series


@dataclass
class RydlFields:
    """The fields of RYDL.hdf5 by their names."""

    path: Path
    keys: list[str]
    shape: tuple[int, int]
    time_chunk: int = 1

    def read(self, which: slice) -> Float32Field:
        """Return fields in mm/h, row 0 in the north; negative values are not observed."""
        with h5py.File(self.path, "r") as root:  # a handle does not survive the fork of a loader's worker
            return np.stack([self._field(root, key) for key in self.keys[which]])

    def _field(self, root: h5py.File, key: str) -> Float32Field:
        """Return one field; one that does not hold rain rates is not observed, so that it does not cost the others."""
        try:
            return read_field(root, key)
        except FrameError as err:
            log.warning("%s of %s is taken as not observed: %s", key, self.path.name, err)
            return np.full(self.shape, np.nan, np.float32)


def _open_rydl(path: Path) -> RadarSeries:
    keys, (height, width) = open_keys(path)
    minutes = np.array([round(key_time(key).timestamp() / 60) for key in keys], np.int64)
    grid = RADOLAN_900.resized(height, width)
    return RadarSeries(path, minutes, cell_edges_m(grid), grid.shape, RydlFields(path, keys, (height, width)), grid)


def find_series(data: str | Path | None, cache: Path | None = None) -> list[RadarSeries]:
    """Return all series of a file or folder in the order of time; unreadable files are logged and skipped.

    Args:
        data: a file, a Zarr store, or a folder of them at any depth; also packed in gzip, bzip2 or tar.
        cache: folder that packed files are unpacked into; None: `.cache` in the data folder.

    Raises:
        ConfigError: no such path, or nothing readable in it.
    """
    data = Path(data) if data is not None else None
    if data is None or not data.exists():
        found = "no data given" if data is None else f"no data at {data}"
        raise ConfigError(f"{found}: {EXPECTED}, by --data PATH or in a folder ./data/DATASET")
    series: list[RadarSeries] = []
    for path, damage in series_files(data, cache_folder(cache, data)):
        try:
            if damage is not None:
                raise damage
            series.append(open_series(path))
        except FrameError as err:
            log.warning("skipped %s: %s", path.name, err)
    if not series:
        raise ConfigError(f"nothing in {data} holds rain-rate fields; {EXPECTED}")
    return sorted(series, key=lambda one: int(one.minutes[0]))


@dataclass
class JoinedFields:
    """The fields of several files, one after the other.

    Attributes:
        parts: each file's fields, and how many of its first ones repeat the file before.
    """

    parts: tuple[tuple[RadarSeries, int], ...]
    time_chunk: int = 1

    def read(self, which: slice) -> Float32Field:
        """Return fields in mm/h of as many files as they are in."""
        found: list[Float32Field] = []
        first = 0
        for one, repeated in self.parts:
            first -= repeated
            start, stop = max(which.start - first, repeated), min(which.stop - first, len(one.minutes))
            if start < stop:
                found.append(one.source.read(slice(start, stop)))
            first += len(one.minutes)
        return np.concatenate(found)


def join_in_time(series: Sequence[RadarSeries]) -> list[RadarSeries]:
    """Return series with those joined that continue each other on one grid, so that windows run on over midnight.

    Args:
        series: one of each file, in the order of time.
    """
    runs: list[list[RadarSeries]] = []
    for one in series:
        before = next((run for run in reversed(runs) if _continues(run[-1], one)), None)
        if before is None:
            runs.append([one])
        else:
            before.append(one)
    return [run[0] if len(run) == 1 else _joined(tuple(run)) for run in runs]


def _continues(one: RadarSeries, after: RadarSeries) -> bool:
    pause = int(after.minutes[0] - one.minutes[-1])
    steps = [set(np.diff(each.minutes).tolist()) for each in (one, after) if len(each.minutes) > 1]
    alike = len(steps) < 2 or bool(steps[0] & steps[1])
    return one.place == after.place != "" and alike and 0 <= pause <= LONGEST_PAUSE_MINUTES


def _joined(parts: tuple[RadarSeries, ...]) -> RadarSeries:
    first, *others = parts
    repeated = [0, *(int(after.minutes[0] == one.minutes[-1]) for one, after in pairwise(parts))]
    fields = JoinedFields(tuple(zip(parts, repeated, strict=True)))
    minutes = np.concatenate([first.minutes, *(one.minutes[n:] for one, n in zip(others, repeated[1:], strict=True))])
    return RadarSeries(first.path, minutes, first.edges_m, first.shape, fields, first.grid, parts)


def common_edges(series: Sequence[RadarSeries], shape: tuple[int, int]) -> tuple[float, float]:
    """Return height and width of the cells that whole fields of all series have after resizing to a shape.

    Raises:
        ConfigError: the files differ by more than a hundredth; the message groups them by cell size.
    """
    groups: dict[tuple[float, float], list[str]] = {}
    for one in series:
        edges_m = one.edges_resized(shape)
        alike = next((other for other in groups if np.allclose(other, edges_m, rtol=SAME_CELLS, atol=0)), edges_m)
        groups.setdefault(alike, []).append(one.path.name)
    if len(groups) == 1:
        return next(iter(groups))
    sizes = "; ".join(
        f"{y_m:.0f} x {x_m:.0f} m in {names[0]}" + (f" and {len(names) - 1} more" if names[1:] else "")
        for (y_m, x_m), names in groups.items()
    )
    raise ConfigError(
        f"fields of {shape[0]} x {shape[1]} cells: expected one cell size in all files, got {sizes}; leave out the "
        "files of the others (exclude=[PART OF A NAME]), or train on crops (crop=N)"
    )
