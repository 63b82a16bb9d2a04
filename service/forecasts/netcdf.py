"""Reading and writing NetCDF from several threads: netCDF-C allows one at a time, so every call holds its lock."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, Literal

import netCDF4
import numpy as np
import xarray as xr
from numpy.typing import NDArray

from core.arrays import Float32Field
from core.cf import COVERAGE_ATTRIBUTES, NETCDF_C, reading_own
from core.files import write_atomically
from service.forecasts.packing import Packed, packed


@contextmanager
def _open(path: Path) -> Iterator[netCDF4.Dataset]:
    with reading_own(path), NETCDF_C, netCDF4.Dataset(path) as dataset:
        dataset.set_auto_mask(False)
        yield dataset


def read_attributes(path: Path) -> Mapping[str, Any]:
    """Read the global attributes of one of the service's own files, in about a millisecond.

    Raises:
        OSError: not a NetCDF file.
    """
    with _open(path) as dataset:
        return {name: dataset.getncattr(name) for name in dataset.ncattrs()}


def read_variable(path: Path, name: str, leads: Sequence[int] | None = None) -> NDArray[Any]:
    """Read one variable of one of the service's own files; missing values are NaN.

    Args:
        path: of the file.
        name: of the variable.
        leads: indices along its first axis; None reads all of them.

    Raises:
        OSError, IndexError: not a NetCDF file, or it has no such variable.
    """
    found = read_packed(path, name, leads)
    return found.codes if found.table is None else found.table[found.codes]


def read_packed(path: Path, name: str, leads: Sequence[int] | None = None, *, axis: int = 0) -> Packed:
    """Read one variable as it is packed; the lock is released after every lead, so that other reads go on.

    Args:
        path: of the file.
        name: of the variable.
        leads: indices along `axis`; None reads all of them.
        axis: of the leads.

    Raises:
        OSError, IndexError: not a NetCDF file, or it has no such variable.
    """
    with reading_own(path), _shared(path) as dataset:
        with NETCDF_C:
            variable = dataset[name]
            variable.set_auto_maskandscale(False)
            attributes = {key: variable.getncattr(key) for key in variable.ncattrs()}
            shape, dtype = list(variable.shape), variable.dtype
        chosen = range(shape[axis]) if leads is None else leads
        shape[axis] = len(chosen)
        codes = np.empty(shape, dtype)
        before: list[slice | int] = [slice(None)] * axis
        for index, lead in enumerate(chosen):
            with NETCDF_C:
                field = variable[(*before, lead)]
            codes[(*before, index)] = field
    return packed(codes, attributes)


def set_attributes(path: Path, attributes: Mapping[str, Any]) -> None:
    """Set global attributes of a file; those that are None are left out."""
    header = xr.Dataset(attrs={name: value for name, value in attributes.items() if value is not None})
    with NETCDF_C:
        header.to_netcdf(path, mode="a", format="NETCDF4", engine="netcdf4")


def variables_of(path: Path) -> frozenset[str]:
    """Return the names of the variables of a file.

    Raises:
        OSError: not a NetCDF file.
    """
    with _open(path) as dataset:
        return frozenset(dataset.variables)


@contextmanager
def _shared(path: Path, mode: Literal["r", "a"] = "r") -> Iterator[netCDF4.Dataset]:
    """Open a file for calls that hold the lock one by one."""
    with NETCDF_C:
        dataset = netCDF4.Dataset(path, mode)
    try:
        yield dataset
    finally:
        with NETCDF_C:
            dataset.close()


@dataclass(frozen=True)
class LeadVariable:
    """A variable `(time, y, x)` that is written lead by lead.

    Attributes:
        name: of the variable.
        dtype: of its codes.
        attributes: of the variable, with `scale_factor` where it is packed.
        codes_HW: codes of a lead, by its index.
        fill: code of no data; None if every code is a value.
    """

    name: str
    dtype: str
    attributes: Mapping[str, Any]
    codes_HW: Callable[[int], NDArray[Any]]
    fill: Any = None


def with_coverage(
    rate: LeadVariable, stored: Callable[[Float32Field], Float32Field] = lambda rate_mmh_HW: rate_mmh_HW
) -> list[LeadVariable]:
    """Return the variable of a rate, and its coverage; a lead's field is asked for once, as it may take long.

    Args:
        rate: its codes are mm/h, NaN is no data.
        stored: turns them into what is written.
    """
    covered: dict[int, NDArray[np.int8]] = {}

    def field_HW(lead: int) -> Float32Field:
        rate_mmh_HW = rate.codes_HW(lead)
        covered[lead] = np.isfinite(rate_mmh_HW).astype(np.int8)
        return stored(rate_mmh_HW)

    def coverage_HW(lead: int) -> NDArray[np.int8]:
        if lead not in covered:  # written without the rate
            field_HW(lead)
        return covered.pop(lead)

    return [replace(rate, codes_HW=field_HW), LeadVariable("coverage", "i1", COVERAGE_ATTRIBUTES, coverage_HW)]


def write_leads(header: xr.Dataset, variables: Sequence[LeadVariable], path: Path) -> None:
    """Write a file by `write_leads_to`, whole or not at all."""
    write_atomically(path, lambda temporary: write_leads_to(temporary, header, variables), checksum=True)


def write_leads_to(path: Path, header: xr.Dataset, variables: Sequence[LeadVariable]) -> None:
    """Write a file with one compressed chunk for each variable and lead; a caller that fails leaves a part of it.

    No more than the codes of one lead are in memory, and other threads read and write files between two leads. All
    variables of a lead are written before those of the next one.

    Args:
        path: of the file.
        header: of `core.cf.axes_dataset`: times, axes, projection, global attributes.
        variables: on its axes.
    """
    extra = [str(name) for name in header.coords if name not in header.dims]
    encoding: dict[str, dict[str, Any]] = {str(name): {"_FillValue": None} for name in header.coords}
    with NETCDF_C:
        header.reset_coords(extra).to_netcdf(path, format="NETCDF4", engine="netcdf4", encoding=encoding)
    count, height, width = (header.sizes[axis] for axis in ("time", "y", "x"))
    with _shared(path, "a") as dataset:
        with NETCDF_C:
            made = [_created(dataset, one, (height, width), extra) for one in variables]
        for lead in range(count):
            for one, variable in zip(variables, made, strict=True):
                codes_HW = one.codes_HW(lead)
                with NETCDF_C:
                    variable[lead] = codes_HW


def _created(
    dataset: netCDF4.Dataset, one: LeadVariable, shape: tuple[int, int], coordinates: Sequence[str]
) -> "netCDF4.Variable[Any]":
    variable = dataset.createVariable(
        one.name,
        one.dtype,
        ("time", "y", "x"),
        compression="zlib",
        complevel=5,
        shuffle=False,  # values are few: without it they are a third smaller
        chunksizes=(1, *shape),
        fill_value=one.fill,
    )
    variable.set_var_chunk_cache(1, 1, 0.0)  # whole chunks are written: 16 MB for each variable would be for nothing
    variable.set_auto_maskandscale(False)
    variable.setncatts({**one.attributes, **({"coordinates": " ".join(coordinates)} if coordinates else {})})
    return variable


def leads_bytes(header: xr.Dataset, variables: Sequence[LeadVariable]) -> bytes:
    """Return the bytes of the file that `write_leads` writes."""
    with TemporaryDirectory() as folder:
        path = Path(folder) / "field.nc"
        write_leads(header, variables, path)
        return path.read_bytes()
