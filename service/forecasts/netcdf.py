"""Reading and writing NetCDF from several threads: netCDF-C allows one at a time, so every call holds its lock."""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import netCDF4
import numpy as np
import xarray as xr
from numpy.typing import NDArray

from core.cf import NETCDF_C


@contextmanager
def _open(path: Path) -> Iterator[netCDF4.Dataset]:
    with NETCDF_C, netCDF4.Dataset(path) as dataset:
        dataset.set_auto_mask(False)
        yield dataset


def read_attributes(path: Path) -> Mapping[str, Any]:
    """Read the global attributes of one of the service's own files, in about a millisecond.

    Raises:
        OSError: not a NetCDF file.
    """
    with _open(path) as dataset:
        return {name: dataset.getncattr(name) for name in dataset.ncattrs()}


def read_variable(path: Path, name: str) -> NDArray[Any]:
    """Read one variable of one of the service's own files; missing values are NaN.

    Raises:
        OSError, IndexError: not a NetCDF file, or it has no such variable.
    """
    with _open(path) as dataset:
        return np.asarray(dataset[name][...])


def dataset_bytes(dataset: xr.Dataset) -> bytes:
    """Return a data set as the bytes of a compressed NetCDF4 file; NaN is missing."""
    encoding: dict[str, dict[str, Any]] = {str(name): {"_FillValue": None} for name in dataset.coords}
    for name, variable in dataset.data_vars.items():
        fill = np.float32("nan") if variable.dtype == np.float32 else None
        packed = {"zlib": True, "complevel": 1, "shuffle": True} if variable.ndim > 1 else {}
        encoding[str(name)] = {"_FillValue": fill, **packed}
    with TemporaryDirectory() as folder:
        path = Path(folder) / "field.nc"
        with NETCDF_C:
            dataset.to_netcdf(path, format="NETCDF4", engine="netcdf4", encoding=encoding)
        return path.read_bytes()
