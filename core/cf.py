"""Rain-rate fields written as CF data sets: names, units, grid mapping and coverage."""

import errno
import threading
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import datetime
from pathlib import Path
from typing import Any, Final

import numpy as np
import xarray as xr

from core.arrays import BoolField, Float32Field, Float64Field
from core.files import DamagedFileError, check_file, write_atomically
from core.grid import Grid
from core.shared_files import fetch_again, is_there

RATE: Final = "rainfall_rate"
KNOWN: Final = "known"
NETCDF_C: Final = threading.Lock()
"""Lock to hold around every use of netCDF-C, which is not thread-safe."""

PASSING: Final = (errno.EMFILE, errno.ENFILE, errno.ENOMEM, errno.EACCES, errno.EINTR)
"""Errors of the system rather than of a file: the same file may be readable later."""

EPOCH: Final = "seconds since 1970-01-01T00:00:00Z"
TIME_ATTRIBUTES: Final = {"units": EPOCH, "calendar": "standard", "units_metadata": "leap_seconds: none"}
RATE_ATTRIBUTES: Final = {
    "standard_name": "lwe_precipitation_rate",
    "long_name": "liquid-equivalent rain rate, all phases",
    "units": "mm h-1",
    "grid_mapping": "crs",
    "ancillary_variables": "coverage",
}
COVERAGE_ATTRIBUTES: Final[Mapping[str, Any]] = {
    "long_name": "coverage mask",
    "flag_values": np.array([0, 1], np.int8),
    "flag_meanings": "no_data value",
    "grid_mapping": "crs",
}

KNOWN_ATTRIBUTES: Final[Mapping[str, Any]] = {
    "long_name": "whether the forecast rests on an observation",
    "comment": "0 where rain can flow in from outside the observed area, and where there is no value",
    "flag_values": np.array([0, 1], np.int8),
    "flag_meanings": "unknown_inflow_or_no_data known",
    "grid_mapping": "crs",
}


def rate_dataset(
    rate_mmh_THW: Float32Field,
    valid_times: Sequence[datetime],
    grid: Grid,
    *,
    reference_time: datetime | None = None,
    attributes: Mapping[str, Any] | None = None,
) -> xr.Dataset:
    """Return a CF data set `rainfall_rate(time, y, x)` in mm h-1 with its coverage mask; NaN is written as missing.

    Args:
        rate_mmh_THW: mm/h, row 0 in the north.
        valid_times: aware times, one per field.
        grid: the grid of the fields.
        reference_time: of a forecast; adds `forecast_reference_time` and `forecast_period`.
        attributes: global attributes; None values are left out.
    """
    dims = ("time", "y", "x")
    covered_THW = np.isfinite(rate_mmh_THW).astype(np.int8)
    dataset = axes_dataset(valid_times, grid, reference_time=reference_time, attributes=attributes)
    dataset[RATE] = (dims, np.asarray(rate_mmh_THW, np.float32), dict(RATE_ATTRIBUTES))
    dataset["coverage"] = (dims, covered_THW, dict(COVERAGE_ATTRIBUTES))
    return dataset[[RATE, "coverage", "crs"]]


def axes_dataset(
    valid_times: Sequence[datetime],
    grid: Grid,
    *,
    reference_time: datetime | None = None,
    attributes: Mapping[str, Any] | None = None,
) -> xr.Dataset:
    """Return the data set of `rate_dataset` without its fields: times, axes, projection and global attributes."""
    seconds = np.array([time.timestamp() for time in valid_times])
    dataset = xr.Dataset(
        {"crs": ((), np.int32(0), _grid_mapping(grid))},
        coords={
            "time": ("time", seconds, {**TIME_ATTRIBUTES, "standard_name": "time", "axis": "T"}),
            "y": ("y", grid.y_centres_m, _axis(grid, "y")),
            "x": ("x", grid.x_centres_m, _axis(grid, "x")),
        },
        attrs={"Conventions": "CF-1.13", **{k: v for k, v in (attributes or {}).items() if v is not None}},
    )
    return dataset if reference_time is None else _with_reference(dataset, seconds, reference_time.timestamp())


def _with_reference(dataset: xr.Dataset, seconds: Float64Field, reference: float) -> xr.Dataset:
    """Return the data set with the reference time and the lead time of every field."""
    lead_minutes = (seconds - reference) / 60.0
    return dataset.assign_coords(
        forecast_reference_time=((), reference, {**TIME_ATTRIBUTES, "standard_name": "forecast_reference_time"}),
        forecast_period=("time", lead_minutes, {"standard_name": "forecast_period", "units": "minutes"}),
    )


def with_known(dataset: xr.Dataset, known_THW: BoolField) -> xr.Dataset:
    """Add `known(time, y, x)` to a forecast's `rate_dataset`: where the forecast rests on something observed."""
    encoding = {"zlib": True, "complevel": 1, "chunksizes": (1, *known_THW.shape[1:])}
    dataset[KNOWN] = (("time", "y", "x"), known_THW.astype(np.int8), dict(KNOWN_ATTRIBUTES), encoding)
    dataset[RATE].attrs["ancillary_variables"] = f"coverage {KNOWN}"
    return dataset


def write_dataset(dataset: xr.Dataset, path: str | Path, *, shuffle: bool = True, checksum: bool = False) -> None:
    """Write a `rate_dataset` as compressed NetCDF4, whole or not at all.

    Args:
        dataset: with its attributes.
        path: of the file.
        shuffle: regroup the bytes of the rates, which helps where all values differ; fields of few distinct values, as
            radars deliver them, are a third smaller and written faster without.
        checksum: append one, as files of the live store have (`core.files`).
    """
    encoding: dict[str, dict[str, Any]] = {
        RATE: {"zlib": True, "complevel": 1, "shuffle": shuffle, "_FillValue": np.float32("nan")},
        "coverage": {"zlib": True, "complevel": 1},
        **{str(name): {"_FillValue": None} for name in dataset.coords},
    }
    with NETCDF_C:
        write_atomically(
            path,
            lambda temporary: dataset.to_netcdf(temporary, format="NETCDF4", engine="netcdf4", encoding=encoding),
            checksum=checksum,
        )


@contextmanager
def reading_own(path: Path) -> Iterator[None]:
    """Check one of our own files before it is opened in this block, and report its damage as one error.

    Raises:
        DamagedFileError: its checksum does not fit; or it has none, and netCDF-C or the decoding of it fails.
        OSError: it is missing or cannot be read now.
        UnavailableError: the store of files does not respond.
    """
    is_there(path)
    has_checksum = _has_checksum(path)
    try:
        yield
    except DamagedFileError:
        raise
    except (RuntimeError, OSError, UnicodeError, AttributeError, ValueError, OverflowError) as err:
        if not has_checksum and getattr(err, "errno", None) not in PASSING:
            raise DamagedFileError(path, f"{type(err).__name__}: {err}") from err
        if isinstance(err, RuntimeError):  # netCDF-C's own; the content is as it was written
            raise OSError(f"{path.name} cannot be read now: {err}") from err
        raise


def _has_checksum(path: Path) -> bool:
    """Return whether a file has a checksum; one that does not fit here may fit in the store of files."""
    try:
        return check_file(path)
    except DamagedFileError:
        if not fetch_again(path):
            raise
        return check_file(path)


def _grid_mapping(grid: Grid) -> dict[str, Any]:
    cf = {k: v for k, v in grid.projection.to_cf().items() if v is not None}
    if cf.get("grid_mapping_name") == "polar_stereographic":  # CF requires it; PROJ leaves it out with a true scale
        north = cf.get("standard_parallel", 90.0) >= 0
        cf.setdefault("latitude_of_projection_origin", 90.0 if north else -90.0)
    west, north = grid.west_m, grid.north_m
    geo_transform = f"{west!r} {grid.pixel_x_m!r} 0 {north!r} 0 {-grid.pixel_y_m!r}"
    return {**cf, "spatial_ref": cf["crs_wkt"], "GeoTransform": geo_transform, "proj4": grid.crs}


def _axis(grid: Grid, axis: str) -> dict[str, str]:
    if grid.projection.is_geographic and grid.projection.is_derived:
        name = "grid_longitude" if axis == "x" else "grid_latitude"
        return {"standard_name": name, "units": "degrees", "axis": axis.upper()}
    if grid.projection.is_geographic:
        name, units = ("longitude", "degrees_east") if axis == "x" else ("latitude", "degrees_north")
        return {"standard_name": name, "units": units, "axis": axis.upper()}
    return {"standard_name": f"projection_{axis}_coordinate", "units": "m", "axis": axis.upper()}
