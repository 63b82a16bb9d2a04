"""A rectangle of a grid's cells, and the one that a box in degrees touches."""

import math
from dataclasses import dataclass, replace
from typing import Final

import numpy as np

from core.errors import InputError
from core.grid import Grid

BBox = tuple[float, float, float, float]

EDGE_POINTS: Final = 65
"""Points along each edge of a box, which is curved on the grid's projection."""


@dataclass(frozen=True)
class Block:
    """A rectangle of cells of a grid: rows `top` to `bottom`, columns `left` to `right`, the ends not included."""

    top: int
    bottom: int
    left: int
    right: int

    @property
    def shape(self) -> tuple[int, int]:
        """(rows, columns)."""
        return self.bottom - self.top, self.right - self.left

    @property
    def cells(self) -> int:
        """How many there are."""
        return self.shape[0] * self.shape[1]

    @property
    def slices(self) -> tuple[slice, slice]:
        """To cut the block out of a field (H, W)."""
        return slice(self.top, self.bottom), slice(self.left, self.right)

    def grid(self, grid: Grid) -> Grid:
        """The grid of the block's cells alone; `grid` is the whole one."""
        return replace(
            grid,
            west_m=grid.west_m + self.left * grid.pixel_x_m,
            north_m=grid.north_m - self.top * grid.pixel_y_m,
            height=self.shape[0],
            width=self.shape[1],
            name=f"part of {grid.name}",
        )


def box_block(grid: Grid, bbox: BBox) -> Block | None:
    """The smallest rectangle of cells that holds all of a box's; None where it lies off the grid.

    Args:
        grid: whose cells.
        bbox: west, south, east, north in degrees; west above east crosses the antimeridian (RFC 7946, 5.2).

    Raises:
        InputError: not a box on Earth.
    """
    west, south, east, north = checked_bbox(bbox)
    east += 360.0 if east < west else 0.0
    lon_N, lat_N = np.linspace(west, east, EDGE_POINTS), np.linspace(south, north, EDGE_POINTS)
    lons = np.concatenate([lon_N, lon_N, np.full(EDGE_POINTS, west), np.full(EDGE_POINTS, east)])
    lats = np.concatenate([np.full(EDGE_POINTS, south), np.full(EDGE_POINTS, north), lat_N, lat_N])
    x_N, y_N = grid.to_xy(lons, lats)
    if np.isfinite(x_N).all() and np.isfinite(y_N).all():
        return touched(grid, (x_N.min(), y_N.min(), x_N.max(), y_N.max()))
    return _by_centres(grid, west, south, east, north)


def checked_bbox(bbox: BBox) -> BBox:
    """The box.

    Raises:
        InputError: not on Earth, or without a height or width.
    """
    west, south, east, north = bbox
    if not (all(-180 <= lon <= 180 for lon in (west, east)) and -90 <= south < north <= 90 and west != east):
        raise InputError(
            "bbox: expected west,south,east,north with longitudes within -180 to 180 and latitudes within -90 to 90 "
            f"degrees, south below north and west different from east, got {west:g},{south:g},{east:g},{north:g}"
        )
    return bbox


def _by_centres(grid: Grid, west: float, south: float, east: float, north: float) -> Block | None:
    """For boxes so large that the projection has no place for their edges."""
    lon_HW, lat_HW = grid.lon_lat_HW()
    inside_HW = ((lon_HW - west) % 360.0 <= east - west) & (lat_HW >= south) & (lat_HW <= north)
    rows, cols = np.flatnonzero(inside_HW.any(axis=1)), np.flatnonzero(inside_HW.any(axis=0))
    return Block(int(rows[0]), int(rows[-1]) + 1, int(cols[0]), int(cols[-1]) + 1) if rows.size else None


def touched(grid: Grid, bounds: tuple[float, float, float, float]) -> Block | None:
    """The cells that a rectangle on the projection touches."""
    west, south, east, north = bounds
    left, right = math.floor((west - grid.west_m) / grid.pixel_x_m), math.ceil((east - grid.west_m) / grid.pixel_x_m)
    top, bottom = (
        math.floor((grid.north_m - north) / grid.pixel_y_m),
        math.ceil((grid.north_m - south) / grid.pixel_y_m),
    )
    block = Block(max(top, 0), min(bottom, grid.height), max(left, 0), min(right, grid.width))
    return block if block.shape[0] > 0 and block.shape[1] > 0 else None
