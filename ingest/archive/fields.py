"""Files of many fields, read field by field: CF NetCDF of any length, and RainNet's RYDL.hdf5."""

from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any

import h5py
import xarray as xr

from core.cf import NETCDF_C
from core.cf_reading import find_grid, find_rain, mmh_per_unit, unstated_marks, values_of
from core.errors import FrameError
from core.frame import RadarFrame
from core.grid import dwd_grid
from ingest.plausibility import masked_rates
from ingest.readers.cf_netcdf import leads_of, open_netcdf, product_and_intervals
from ingest.readers.cf_zarr import is_store, open_path
from ingest.readers.hdf5 import MAGIC, is_hdf5, is_knmi, is_odim
from ingest.readers.rydl import INTERVAL_MINUTES, key_time, read_field, rydl_keys

Load = Callable[[list[str]], list[RadarFrame]]
Loader = tuple[str, Load]
"""The name of a field or file, and a function that reads its frames and adds to a list of notes."""


def is_field_file(path: Path) -> bool:
    """Return whether a path is RYDL, NetCDF4, classic NetCDF or a Zarr store; ODIM and KNMI are left to the readers."""
    if path.is_dir():
        return is_store(path)
    with path.open("rb") as file:
        head = file.read(len(MAGIC))
    if head.startswith((b"CDF\x01", b"CDF\x02")):
        return True
    if not is_hdf5(head):
        return False
    try:
        with h5py.File(path, "r") as root:
            return not (is_odim(root) or is_knmi(root))
    except (OSError, RuntimeError, ValueError, KeyError):
        return False  # the readers report what is wrong with it


def field_pieces(path: Path, name: str, keys: tuple[str, ...]) -> Iterator[Loader]:
    """Yield one loader per field, named by its time or number.

    Raises:
        OSError: the file does not open.
    """
    keys = keys or tuple(rydl_keys(path))
    yield from _rydl(path, name, keys) if keys else _netcdf(path, name)


def _rydl(path: Path, name: str, keys: tuple[str, ...]) -> Iterator[Loader]:
    with h5py.File(path, "r") as root:
        for key in keys:
            yield f"{name}/{key}", partial(_rydl_frame, root, key)


def _rydl_frame(root: Any, key: str, _notes: list[str]) -> list[RadarFrame]:
    valid_time, rate_mmh_HW = key_time(key), read_field(root, key)
    grid = dwd_grid(*rate_mmh_HW.shape, wgs84=False)
    return [RadarFrame(valid_time, grid, rate_mmh_HW, "RY", interval_minutes=INTERVAL_MINUTES)]


def _netcdf(path: Path, name: str) -> Iterator[Loader]:
    try:
        with NETCDF_C:
            dataset = open_path(path) if path.is_dir() else open_netcdf(path)
    except Exception as err:  # netCDF-C and xarray raise any error on damaged files
        yield name, partial(_fail, f"{name}: expected a whole NetCDF file with CF times, got {err}")
        return
    with dataset:
        try:
            rain = find_rain(dataset)
            if rain.ndim != 3:
                raise FrameError(f"{rain.name}: expected the dimensions (time, y, x), got {rain.dims}")
            grid, south_first = find_grid(dataset, rain)
            product, starts_ends = product_and_intervals(dataset, rain)
            leads = leads_of(dataset, [end for _, end in starts_ends])
        except FrameError as err:
            yield name, partial(_fail, f"{name}: {err}")
            return
        for number, (start, end) in enumerate(starts_ends):
            minutes = (end - start).total_seconds() / 60
            frame = partial(
                RadarFrame, end, grid, product=product, interval_minutes=minutes, lead_minutes=leads[number]
            )
            yield f"{name}/{number}", partial(_netcdf_frame, rain, number, frame, minutes, south_first=south_first)


def _netcdf_frame(
    rain: xr.DataArray,
    number: int,
    frame: Callable[..., RadarFrame],
    minutes: float,
    notes: list[str],
    *,
    south_first: bool,
) -> list[RadarFrame]:
    with NETCDF_C:
        values_HW = values_of(rain, number)
    rate_mmh_HW, note = masked_rates(
        values_HW[:: -1 if south_first else 1], mmh_per_unit(rain, minutes), unstated_marks(rain)
    )
    notes += [note] if note else []
    return [frame(rate_mmh_HW=rate_mmh_HW)]


def _fail(reason: str, _notes: list[str]) -> list[RadarFrame]:
    raise FrameError(reason)
