"""Rain-rate fields as CF data sets: names, units, grid mappings and the order of rows."""

import threading
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final

import numpy as np
import xarray as xr
from pyproj import CRS
from pyproj.exceptions import CRSError

from core.arrays import BoolField, Float32Field, Float64Field
from core.errors import FrameError
from core.files import write_atomically
from core.grid import Grid, known
from core.grid_checks import grid_from_centres

RATE: Final = "rainfall_rate"
KNOWN: Final = "known"
RATE_NAMES: Final = (
    "rainfall_rate",
    "lwe_precipitation_rate",
    "precipitation_rate",
    "rainfall_flux",
    "precipitation_flux",
)
MMH_PER_UNIT: Final[Mapping[str, float]] = {
    "mm h-1": 1.0,
    "mm/h": 1.0,
    "mm hr-1": 1.0,
    "mm/hr": 1.0,
    "kg m-2 h-1": 1.0,
    "m s-1": 3.6e6,
    "kg m-2 s-1": 3600.0,
    "mm s-1": 3600.0,
}
"""Factor from a unit to mm/h; 1 kg m-2 of water is 1 mm."""

NETCDF_C: Final = threading.Lock()
"""Lock to hold around every use of netCDF-C, which is not thread-safe."""

EPOCH: Final = "seconds since 1970-01-01T00:00:00Z"
TIME_ATTRIBUTES: Final = {"units": EPOCH, "calendar": "standard"}
RATE_ATTRIBUTES: Final = {
    "standard_name": "rainfall_rate",
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
    seconds = np.array([time.timestamp() for time in valid_times])
    dims = ("time", "y", "x")
    covered_THW = np.isfinite(rate_mmh_THW).astype(np.int8)
    dataset = xr.Dataset(
        {
            RATE: (dims, np.asarray(rate_mmh_THW, np.float32), dict(RATE_ATTRIBUTES)),
            "coverage": (dims, covered_THW, dict(COVERAGE_ATTRIBUTES)),
            "crs": ((), np.int32(0), _grid_mapping(grid)),
        },
        coords={
            "time": ("time", seconds, {**TIME_ATTRIBUTES, "standard_name": "time", "axis": "T"}),
            "y": ("y", grid.y_centres_m, _axis(grid, "y")),
            "x": ("x", grid.x_centres_m, _axis(grid, "x")),
        },
        attrs={"Conventions": "CF-1.11", **{k: v for k, v in (attributes or {}).items() if v is not None}},
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
    attributes = {
        "long_name": "whether the forecast rests on an observation",
        "comment": "0 where rain can flow in from outside the observed area, and where there is no value",
        "flag_values": np.array([0, 1], np.int8),
        "flag_meanings": "unknown_inflow_or_no_data known",
        "grid_mapping": "crs",
    }
    encoding = {"zlib": True, "complevel": 1, "chunksizes": (1, *known_THW.shape[1:])}
    dataset[KNOWN] = (("time", "y", "x"), known_THW.astype(np.int8), attributes, encoding)
    dataset[RATE].attrs["ancillary_variables"] = f"coverage {KNOWN}"
    return dataset


def write_dataset(dataset: xr.Dataset, path: str | Path) -> None:
    """Write a `rate_dataset` as compressed NetCDF4, whole or not at all."""
    encoding: dict[str, dict[str, Any]] = {
        RATE: {"zlib": True, "complevel": 1, "shuffle": True, "_FillValue": np.float32("nan")},
        "coverage": {"zlib": True, "complevel": 1},
        **{str(name): {"_FillValue": None} for name in dataset.coords},
    }
    with NETCDF_C:
        write_atomically(
            path, lambda temporary: dataset.to_netcdf(temporary, format="NETCDF4", engine="netcdf4", encoding=encoding)
        )


def find_rate(dataset: xr.Dataset) -> xr.DataArray:
    """Return the rain-rate variable, found by standard name, else by variable name.

    Raises:
        FrameError: there is none, or its unit is not a unit of rain rate.
    """
    by_standard_name = [v for v in dataset.data_vars.values() if v.attrs.get("standard_name") in RATE_NAMES]
    by_name = [dataset[name] for name in RATE_NAMES if name in dataset.data_vars]
    if not (by_standard_name or by_name):
        raise FrameError(
            f"expected a variable with one of the standard names {', '.join(RATE_NAMES)}, got the variables "
            f"{', '.join(sorted(map(str, dataset.data_vars))) or 'none'}"
        )
    rate = (by_standard_name or by_name)[0]
    unit = str(rate.attrs.get("units", "")).replace("**", "").replace("^", "")
    if unit not in MMH_PER_UNIT:
        raise FrameError(f"unit of {rate.name}: expected one of {', '.join(MMH_PER_UNIT)}, got {unit!r}")
    return rate


def mmh_per_unit(rate: xr.DataArray) -> float:
    """Return the factor from the variable's own unit to mm/h."""
    return MMH_PER_UNIT[str(rate.attrs["units"]).replace("**", "").replace("^", "")]


def find_grid(dataset: xr.Dataset, rate: xr.DataArray) -> tuple[Grid, bool]:
    """Return the grid of a variable's last two dimensions, and whether its rows start in the south (then flip them).

    Raises:
        FrameError: no coordinates or no projection, or axes that are not regular.
    """
    y_name, x_name = map(str, rate.dims[-2:])
    for axis in (y_name, x_name):
        if axis not in dataset.coords:
            raise FrameError(
                f"dimension {axis} of {rate.name}: expected a coordinate with the centres of the grid cells, got none"
            )
    y, x = dataset[y_name], dataset[x_name]
    crs = _projection(dataset, rate, x)
    scale = 1000.0 if str(x.attrs.get("units", "m")) in ("km", "kilometer", "kilometers") else 1.0
    x_values, y_values = x.values.astype(np.float64) * scale, y.values.astype(np.float64) * scale
    if x_values.size > 1 and x_values[1] < x_values[0]:
        raise FrameError(f"coordinate {x_name}: expected columns from the west, got descending values")
    grid = known(grid_from_centres(crs, x_values, y_values))
    return grid, bool(y_values[1] > y_values[0])


def times_of(dataset: xr.Dataset, name: str = "time") -> list[datetime]:
    """Return the valid times as aware UTC, to the second.

    Raises:
        FrameError: there is no decoded time coordinate.
    """
    if name not in dataset.coords or not np.issubdtype(dataset[name].dtype, np.datetime64):
        raise FrameError(f"expected a coordinate {name} with CF times, got none")
    seconds = np.atleast_1d(dataset[name].values).astype("datetime64[s]").astype(np.int64)
    return [datetime.fromtimestamp(int(second), UTC) for second in seconds]


def _grid_mapping(grid: Grid) -> dict[str, Any]:
    cf = {k: v for k, v in grid.projection.to_cf().items() if v is not None}
    west, north = grid.west_m, grid.north_m
    geo_transform = f"{west!r} {grid.pixel_x_m!r} 0 {north!r} 0 {-grid.pixel_y_m!r}"
    return {**cf, "spatial_ref": cf["crs_wkt"], "GeoTransform": geo_transform, "proj4": grid.crs}


def _axis(grid: Grid, axis: str) -> dict[str, str]:
    if grid.projection.is_geographic:
        name, units = ("longitude", "degrees_east") if axis == "x" else ("latitude", "degrees_north")
        return {"standard_name": name, "units": units, "axis": axis.upper()}
    return {"standard_name": f"projection_{axis}_coordinate", "units": "m", "axis": axis.upper()}


def _projection(dataset: xr.Dataset, rate: xr.DataArray, x: xr.DataArray) -> str:
    name = rate.attrs.get("grid_mapping") or rate.encoding.get("grid_mapping")
    if name is None or name not in dataset.variables:
        if x.attrs.get("standard_name") == "longitude" or x.attrs.get("units") == "degrees_east":
            return "EPSG:4326"
        raise FrameError(f"grid_mapping of {rate.name}: expected the name of a CF projection variable, got {name!r}")
    attributes = dict(dataset[name].attrs)
    try:
        wkt = attributes.get("crs_wkt") or attributes.get("spatial_ref")
        crs = CRS.from_wkt(wkt) if wkt else CRS.from_cf(attributes)
    except (CRSError, KeyError, TypeError, ValueError) as err:
        raise FrameError(f"grid mapping {name} is not a projection known to PROJ: {err}") from err
    return str(crs.to_wkt())
