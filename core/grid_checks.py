"""Grids from the coordinates of a file, and the check that a grid can be one of a radar composite on Earth."""

from functools import lru_cache
from typing import Final

import numpy as np
from pyproj import Geod

from core.arrays import Float64Field
from core.errors import FrameError
from core.grid import Grid

SMALLEST_CELL_M: Final = 50.0
LARGEST_CELL_M: Final = 50_000.0
OFF_THE_LINE: Final = 0.05
"""A centre may be this share of a cell off equal steps: coordinates in single precision are."""


def grid_from_centres(crs: str, x_m: Float64Field, y_m: Float64Field, *, name: str = "") -> Grid:
    """Return the grid of given column and row centres (either order; the caller flips the field).

    Longitudes may run over 180 degrees or over 360; the grid begins between -180 and 180.

    Raises:
        FrameError: fewer than two centres on an axis, centres that are not equally spaced, or no grid on Earth.
    """
    geographic = Grid(crs, 0.0, 0.0, 1.0, 1.0, 1, 1).projection.is_geographic
    if geographic and x_m.ndim == 1 and np.isfinite(x_m).all():
        x_m = np.unwrap(x_m, period=360.0)
        x_m = x_m - 360.0 * np.floor((x_m.min(initial=np.inf) + 180.0) / 360.0) if x_m.size else x_m
    pixel_x, pixel_y = _step("x", x_m), _step("y", y_m)
    west, north = float(x_m.min()) - pixel_x / 2, float(y_m.max()) + pixel_y / 2
    return checked_grid(Grid(crs, west, north, pixel_x, pixel_y, y_m.size, x_m.size, name))


def _step(axis: str, centres: Float64Field) -> float:
    if centres.ndim != 1 or centres.size < 2:
        raise FrameError(f"coordinate {axis}: expected one axis of two or more centres, got shape {centres.shape}")
    steps = np.diff(centres)
    step = float(centres[-1] - centres[0]) / (centres.size - 1)
    line = centres[0] + step * np.arange(centres.size)
    if not np.isfinite(centres).all() or step == 0 or np.abs(centres - line).max() > OFF_THE_LINE * abs(step):
        raise FrameError(f"coordinate {axis}: expected equal steps, got steps from {steps.min()} to {steps.max()}")
    return abs(step)


@lru_cache(maxsize=64)
def checked_grid(grid: Grid) -> Grid:
    """Return a grid of a file if it can be one of radar or rain: on Earth, with cells of 50 m to 50 km.

    Raises:
        FrameError: fewer than 2 x 2 cells, a corner that is not on Earth, or cells of another size.
    """
    if min(grid.shape) < 2:
        raise FrameError(f"grid: expected 2 x 2 cells or more, got {grid.height} x {grid.width}")
    west, south, east, north = grid.extent_m  # the centres of all cells of a damaged file need not fit into memory
    x = np.array([west, east, east, west]) + np.array([0.5, -0.5, -0.5, 0.5]) * grid.pixel_x_m
    y = np.array([north, north, south, south]) + np.array([-0.5, -0.5, 0.5, 0.5]) * grid.pixel_y_m
    lon, lat = grid.to_lon_lat(x, y)
    x_again, y_again = grid.to_xy(lon, lat) if np.isfinite(lon).all() and np.isfinite(lat).all() else (lon, lat)
    off = np.maximum(np.abs(x_again - x) / grid.pixel_x_m, np.abs(y_again - y) / grid.pixel_y_m)
    if not (off < 0.5).all() or (np.abs(lat) > 90 + 1e-6).any() or _turns(grid) > 1:
        raise FrameError(
            f"grid: expected corners on Earth, got x {x.min():g} to {x.max():g} and y {y.min():g} to {y.max():g} in "
            f"the projection's {'degrees' if grid.projection.is_geographic else 'metres'}"
        )
    for axis, size_m in zip("xy", _cell_m(grid), strict=True):
        if not SMALLEST_CELL_M <= size_m <= LARGEST_CELL_M:
            raise FrameError(
                f"grid: expected cells of {SMALLEST_CELL_M:g} m to {LARGEST_CELL_M / 1000:g} km, got {size_m:.4g} m "
                f"along {axis}; is the unit of the coordinate {axis} right?"
            )
    return grid


def _turns(grid: Grid) -> float:
    """Return how often a grid of degrees goes round the Earth; the last column may repeat the first."""
    return (grid.width - 1) * grid.pixel_x_m / (360.0 + 1e-6) if grid.projection.is_geographic else 0.0


def _cell_m(grid: Grid) -> tuple[float, float]:
    """Return the size of the middle cell on the ground, along x and along y."""
    west, south, east, north = grid.extent_m
    x, y = (west + east) / 2, (south + north) / 2
    lon, lat = grid.to_lon_lat(np.array([x, x + grid.pixel_x_m, x]), np.array([y, y, y - grid.pixel_y_m]))
    if not (np.isfinite(lon).all() and np.isfinite(lat).all()):
        return np.nan, np.nan
    geod: Geod = grid.projection.get_geod() or Geod(ellps="WGS84")
    return tuple(geod.inv(lon[0], lat[0], lon[i], lat[i])[2] for i in (1, 2))
