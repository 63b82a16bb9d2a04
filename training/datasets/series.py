"""Sequences of rain-rate fields in files: event NetCDF files and Zarr archives, read alike."""

import hashlib
import logging
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
import xarray as xr
from numpy.typing import NDArray

from core import cf
from core.errors import ConfigError, FrameError

log = logging.getLogger(__name__)
Float32Field = NDArray[np.float32]
IN_MEMORY_BYTES = 2**30


@dataclass
class RadarSeries:
    """One file's fields by time.

    Attributes:
        path: the NetCDF file or the Zarr folder.
        minutes: valid times in minutes since 1970, ascending.
        pixel_m: mean edge of a cell.
    """

    path: Path
    minutes: NDArray[np.int64]
    pixel_m: float
    shape: tuple[int, int]
    _rate: xr.DataArray = field(repr=False)
    _factor: float = 1.0
    _south_first: bool = False
    _cache: NDArray[np.float16] | None = field(default=None, repr=False)

    def field_mmh(self, index: int) -> NDArray[np.float16] | Float32Field:
        """One field, mm/h, row 0 in the north, NaN where not observed."""
        field_HW: NDArray[np.float16] | Float32Field
        field_HW = self._read(slice(index, index + 1))[0] if self._cache is None else self._cache[index]
        return field_HW

    def window_starts(self, steps: int, cadence_minutes: int) -> NDArray[np.int64]:
        """Indices of fields that begin a gap-free window of `steps` fields at a cadence."""
        starts = np.arange(len(self.minutes))
        for step in range(1, steps):
            due = self.minutes + step * cadence_minutes
            found = np.searchsorted(self.minutes, due)
            there = (found < len(self.minutes)) & (self.minutes[np.minimum(found, len(self.minutes) - 1)] == due)
            starts = starts[there[starts]]
        return starts.astype(np.int64)

    def window_indices(self, start: int, steps: int, cadence_minutes: int) -> NDArray[np.int64]:
        """Indices of the fields of the window that begins at `start`."""
        due = self.minutes[start] + cadence_minutes * np.arange(steps)
        return np.asarray(np.searchsorted(self.minutes, due), np.int64)

    def keep_in_memory(self) -> None:
        """Hold all fields as float16 (a relative error below 0.05 %), if they are small enough."""
        if self._cache is None and len(self.minutes) * self.shape[0] * self.shape[1] * 2 <= IN_MEMORY_BYTES:
            self._cache = np.concatenate(
                [self._read(slice(i, i + 8)).astype(np.float16) for i in range(0, len(self.minutes), 8)]
            )

    def fingerprint(self) -> dict[str, Any]:
        """Name, times and sha256 (of a Zarr store: of its metadata) of the data."""
        content = self.path if self.path.is_file() else self.path / "zarr.json"
        digest = hashlib.sha256(content.read_bytes()).hexdigest() if content.is_file() else None
        first, last = (
            datetime.fromtimestamp(int(m) * 60, UTC).isoformat() for m in (self.minutes[0], self.minutes[-1])
        )
        return {"file": self.path.name, "first": first, "last": last, "fields": len(self.minutes), "sha256": digest}

    def _read(self, which: slice) -> Float32Field:
        values_THW = np.asarray(self._rate[which].values, np.float32) * np.float32(self._factor)
        return values_THW[:, ::-1] if self._south_first else values_THW


def open_series(path: Path) -> RadarSeries:
    """Open one NetCDF file or Zarr folder.

    Raises:
        FrameError: no rain rate with CF times and grid in it.
    """
    try:
        dataset = (
            xr.open_zarr(path, consolidated=_consolidated(path))
            if path.is_dir()
            else xr.open_dataset(path, engine="netcdf4")
        )
    except (OSError, ValueError, KeyError) as err:
        raise FrameError(f"{path.name} is no NetCDF file and no Zarr store ({err})") from err
    rate = cf.find_rate(dataset)
    if rate.ndim != 3:
        raise FrameError(f"{path.name}: {rate.name} has the dimensions {rate.dims}; (time, y, x) was due")
    grid, south_first = cf.find_grid(dataset, rate)
    times = cf.times_of(dataset, str(rate.dims[0]))
    minutes = np.array([round(time.timestamp() / 60) for time in times], np.int64)
    if (np.diff(minutes) <= 0).any():
        raise FrameError(f"{path.name}: times do not ascend")
    return RadarSeries(path, minutes, grid.pixel_m, grid.shape, rate, cf.mmh_per_unit(rate), south_first)


def _consolidated(store: Path) -> bool:
    metadata = store / "zarr.json"
    return (store / ".zmetadata").is_file() or (metadata.is_file() and "consolidated_metadata" in metadata.read_text())


def find_series(data: Path | None) -> list[RadarSeries]:
    """All series of a file or folder in the order of time; what cannot be read is logged and skipped.

    Raises:
        ConfigError: no such path, or nothing readable in it.
    """
    if data is None or not data.exists():
        raise ConfigError(f"no data at {data}: an event NetCDF file, a Zarr archive, or a folder of them was due")
    series: list[RadarSeries] = []
    for path in _candidates(data):
        try:
            series.append(open_series(path))
        except FrameError as err:
            log.warning("skipped %s: %s", path.name, err)
    if not series:
        raise ConfigError(f"nothing in {data} holds rain-rate fields; event NetCDF files or Zarr archives were due")
    return sorted(series, key=lambda one: int(one.minutes[0]))


def _candidates(data: Path) -> Iterator[Path]:
    if data.is_file() or (data / "zarr.json").exists() or (data / ".zgroup").exists():
        yield data
        return
    yield from sorted(path for path in data.iterdir() if path.suffix in (".nc", ".nc4", ".zarr"))
