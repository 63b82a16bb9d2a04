"""Motion of the rain in a forecast's file: true directions and speeds on a coarse grid."""

from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import netCDF4
import numpy as np
import xarray as xr
from pyproj import Geod

from core.arrays import Float32Field, Float64Field
from core.cf import NETCDF_C, reading_own
from core.grid import Grid
from service.forecasts.records import StoredForecast

if TYPE_CHECKING:  # models imports torch, which the web process loads later
    from models.fields import MotionField

EASTWARD: Final = "motion_eastward"
NORTHWARD: Final = "motion_northward"
FACTOR: Final = "grid_factor"
SECONDS: Final = 600.0
"""Time of the displacement by which a motion on the grid is measured on Earth."""


@dataclass(frozen=True, eq=False)
class StoredMotion:
    """Motion of the rain on coarse cells, row 0 is north; NaN where it is not known.

    Attributes:
        eastward_ms_HW, northward_ms_HW: true directions, m/s.
        factor: edge of a coarse cell in grid cells; the last row and column may reach beyond these.
    """

    eastward_ms_HW: Float32Field
    northward_ms_HW: Float32Field
    factor: int


def with_motion(dataset: xr.Dataset, grid: Grid, motion: "MotionField") -> xr.Dataset:
    """Add the motion to the axes of a forecast's file, turned from the grid's directions to true ones.

    Args:
        dataset: of the file.
        grid: of the forecast.
        motion: along rows and columns of the grid.
    """
    x_W, y_H = _centres(grid, motion.eastward_ms_HW.shape, motion.factor)
    parts = _on_earth(grid, *np.meshgrid(x_W, y_H), motion.eastward_ms_HW, motion.northward_ms_HW)
    for name, direction, part_HW in zip((EASTWARD, NORTHWARD), ("eastward", "northward"), parts, strict=True):
        attributes: dict[str, Any] = {
            "long_name": f"{direction} motion of the rain",
            "comment": "mean of the last hour over a square of grid cells; true directions on Earth",
            "units": "m s-1",
            "grid_mapping": "crs",
            FACTOR: motion.factor,
        }
        dataset[name] = (("motion_y", "motion_x"), part_HW.astype(np.float32), attributes)
    for axis, centres in (("x", x_W), ("y", y_H)):
        own = {name: value for name, value in dataset[axis].attrs.items() if name in ("standard_name", "units")}
        dataset = dataset.assign_coords({f"motion_{axis}": (f"motion_{axis}", centres, own)})
    return dataset


def read_motion(forecast: StoredForecast) -> StoredMotion | None:
    """Read the motion of a forecast; None where its file holds none. Those of recent forecasts stay in memory.

    Raises:
        OSError: the file is not a NetCDF file.
    """
    return _read(forecast.path, forecast.changed_ns)


def centres_lon_lat(grid: Grid, motion: StoredMotion) -> tuple[Float64Field, Float64Field]:
    """Return longitude and latitude of the centres of the coarse cells."""
    return grid.to_lon_lat(*np.meshgrid(*_centres(grid, motion.eastward_ms_HW.shape, motion.factor)))


@lru_cache(maxsize=64)
def _read(path: Path, changed_ns: int) -> StoredMotion | None:
    """Read the motion of a file; keyed by its time of change."""
    del changed_ns
    with reading_own(path), NETCDF_C, netCDF4.Dataset(path) as dataset:
        if EASTWARD not in dataset.variables:
            return None
        found = [np.ma.filled(np.ma.asarray(dataset[name][:], np.float32), np.nan) for name in (EASTWARD, NORTHWARD)]
        return StoredMotion(found[0], found[1], int(dataset[EASTWARD].getncattr(FACTOR)))


def _centres(grid: Grid, shape: tuple[int, ...], factor: int) -> tuple[Float64Field, Float64Field]:
    """Return the centres of coarse columns and rows in coordinates of the grid."""
    rows, cols = ((np.arange(count, dtype=np.float64) + 0.5) * factor for count in shape)
    return grid.west_m + cols * grid.pixel_x_m, grid.north_m - rows * grid.pixel_y_m


def _on_earth(
    grid: Grid, x_HW: Float64Field, y_HW: Float64Field, right_ms_HW: Float32Field, up_ms_HW: Float32Field
) -> tuple[Float64Field, Float64Field]:
    """Return true components: those of the geodesic from a place to where its rain is some minutes later."""
    cells = SECONDS / grid.pixel_m  # grid cells for each m/s
    lon_HW, lat_HW = grid.to_lon_lat(x_HW, y_HW)
    then_lon_HW, then_lat_HW = grid.to_lon_lat(
        x_HW + right_ms_HW * cells * grid.pixel_x_m, y_HW + up_ms_HW * cells * grid.pixel_y_m
    )
    geod = grid.projection.get_geod() or Geod(ellps="WGS84")
    azimuth_HW, _, metres_HW = geod.inv(lon_HW, lat_HW, then_lon_HW, then_lat_HW)
    known_HW = np.isfinite(lon_HW) & np.isfinite(then_lon_HW) & np.isfinite(right_ms_HW)
    speed_ms_HW = np.where(known_HW, np.asarray(metres_HW) / SECONDS, np.nan)
    towards_HW = np.radians(azimuth_HW)
    east_HW, north_HW = speed_ms_HW * np.sin(towards_HW), speed_ms_HW * np.cos(towards_HW)
    return np.asarray(east_HW, np.float64), np.asarray(north_HW, np.float64)
