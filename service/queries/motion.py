"""Motion of the rain in a forecast, from its grid to directions and speeds on Earth."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

from core.arrays import Float64Field
from core.errors import TooLargeError
from core.grid import Grid
from models.fields import MotionField
from service.queries.areas import geod_of
from service.queries.cells import Block

SECONDS: Final = 600.0
"""Time of the displacement by which a motion on the grid is measured on Earth."""
MOST_VECTORS: Final = 10_000


@dataclass(frozen=True)
class MotionVectors:
    """Motion at places, (N,) each.

    Attributes:
        lon, lat: degrees.
        eastward_ms, northward_ms: true directions, m/s.
        every_km: distance of two neighbours.
    """

    lon: Float64Field
    lat: Float64Field
    eastward_ms: Float64Field
    northward_ms: Float64Field
    every_km: float

    @property
    def speed_kmh(self) -> Float64Field:
        """Return the speeds."""
        return np.asarray(np.hypot(self.eastward_ms, self.northward_ms) * 3.6)

    @property
    def towards_degrees(self) -> Float64Field:
        """Return the directions towards which the rain moves, clockwise from north, from 0 to below 360."""
        return np.asarray(np.degrees(np.arctan2(self.eastward_ms, self.northward_ms)) % 360.0)


def motion_vectors(
    grid: Grid, motion: MotionField, observed_HW: NDArray[np.bool_], every_km: float, block: Block | None
) -> MotionVectors:
    """Return the motion at centres of coarse cells that the radar observes.

    Args:
        grid: of the forecast.
        motion: on its coarse cells.
        observed_HW: grid cells with a forecast.
        every_km: wanted distance of two vectors; the nearest multiple of the coarse cells' edge is taken.
        block: only coarse cells with their centre in these grid cells; None for all.

    Raises:
        TooLargeError: too many vectors.
    """
    step = max(1, round(every_km * 1000 / (grid.pixel_m * motion.factor)))
    rows = _centres(
        motion.eastward_ms_HW.shape[0], step, motion.factor, grid.height, (block.top, block.bottom) if block else None
    )
    cols = _centres(
        motion.eastward_ms_HW.shape[1], step, motion.factor, grid.width, (block.left, block.right) if block else None
    )
    row_HW, col_HW = np.meshgrid(rows, cols, indexing="ij")
    kept = observed_HW[row_HW, col_HW]
    row_N, col_N = row_HW[kept], col_HW[kept]
    if row_N.size > MOST_VECTORS:
        raise TooLargeError(f"every_km: expected at most {MOST_VECTORS} vectors, got {row_N.size}")
    return _on_earth(grid, motion, row_N, col_N, step * motion.factor * grid.pixel_m / 1000)


def motion_at(grid: Grid, motion: MotionField, cell: tuple[int, int]) -> MotionVectors:
    """Return the motion at the centre of a grid cell, as the only vector."""
    return _on_earth(grid, motion, np.array([cell[0]]), np.array([cell[1]]), 0.0)


def _on_earth(
    grid: Grid, motion: MotionField, row_N: NDArray[np.int_], col_N: NDArray[np.int_], every_km: float
) -> MotionVectors:
    """Return true directions and speeds: those of the geodesic from a place to where its rain is some minutes later."""
    east_N = motion.eastward_ms_HW[row_N // motion.factor, col_N // motion.factor].astype(np.float64)
    north_N = motion.northward_ms_HW[row_N // motion.factor, col_N // motion.factor].astype(np.float64)
    x_N, y_N = grid.x_centres_m[col_N], grid.y_centres_m[row_N]
    cells = SECONDS / grid.pixel_m  # grid cells for each m/s
    lon_N, lat_N = grid.to_lon_lat(x_N, y_N)
    then_lon_N, then_lat_N = grid.to_lon_lat(
        x_N + east_N * cells * grid.pixel_x_m, y_N + north_N * cells * grid.pixel_y_m
    )
    azimuth_N, _, metres_N = geod_of(grid.crs).inv(lon_N, lat_N, then_lon_N, then_lat_N)
    towards_N, speed_ms_N = np.radians(azimuth_N), np.asarray(metres_N) / SECONDS
    return MotionVectors(lon_N, lat_N, speed_ms_N * np.sin(towards_N), speed_ms_N * np.cos(towards_N), every_km)


def _centres(count: int, step: int, factor: int, size: int, within: Sequence[int] | None) -> NDArray[np.int_]:
    """Return the grid rows (or columns) of the centres of every `step`-th coarse cell."""
    first, last = within or (0, size)
    centres_N = np.arange(step // 2, count, step) * factor + factor // 2
    return centres_N[(centres_N >= first) & (centres_N < min(last, size))]
