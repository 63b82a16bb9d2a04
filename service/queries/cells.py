"""A rectangle of grid cells, and the one that covers a box in degrees."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np

from core.errors import InputError
from core.grid import Grid
from service.queries.longitudes import at_most_180, spans_near

BBox = tuple[float, float, float, float]

OUTSIDE: Final = "the place is outside the grid"
EDGE_POINTS: Final = 65
"""Points along each edge of a box, which is curved on the grid's projection."""


def is_on_earth(lat: float, lon: float) -> bool:
    """Return whether latitude and longitude are within their ranges."""
    return -90 <= lat <= 90 and -180 <= lon <= 360


def checked_place(lat: float, lon: float, names: tuple[str, str] = ("lat", "lon")) -> tuple[float, float]:
    """Return latitude and longitude of a place on Earth, longitudes of 180 to 360 degrees as those of the west.

    Args:
        lat: in degrees.
        lon: in degrees.
        names: of the two parameters, for the message.

    Raises:
        InputError: not on Earth; if it was with the two swapped, the message asks whether that is meant.
    """
    if is_on_earth(lat, lon):
        return lat, at_most_180(lon)
    meant = f"; did you mean {names[0]}={lon:g}, {names[1]}={lat:g}?" if is_on_earth(lon, lat) else ""
    raise InputError(
        f"expected {names[0]} within -90 to 90 and {names[1]} within -180 to 360 degrees, got {names[0]}={lat}, "
        f"{names[1]}={lon}{meant}"
    )


def swap_hint(grid: Grid, lat: float, lon: float) -> str:
    """Return that a place outside the grid would be inside with its coordinates swapped; empty where it would not."""
    if not is_on_earth(lon, lat) or grid.cell_of(lon, lat) is None:
        return ""
    return f"; swapped, as lat {lon:g} and lon {lat:g}, it would be inside"


def box_swap_hint(grid: Grid, bbox: BBox) -> str:
    """Return that a box outside the grid would touch it with its coordinates swapped; empty where it would not."""
    swapped = _swapped(bbox)
    if swapped is None or box_block(grid, swapped) is None:
        return ""
    return f"; swapped, as {_text(swapped)}, it would be inside"


def _swapped(bbox: BBox) -> BBox | None:
    """Return a box with latitudes and longitudes swapped, if that is one on Earth."""
    west, south, east, north = bbox
    swapped = south, west, north, east
    return swapped if _is_box(swapped) else None


def _is_box(bbox: BBox) -> bool:
    west, south, east, north = bbox
    return all(-180 <= lon <= 360 for lon in (west, east)) and -90 <= south < north <= 90 and west != east


def _text(bbox: BBox) -> str:
    return ",".join(f"{edge:g}" for edge in bbox)


@dataclass(frozen=True)
class Block:
    """A rectangle of grid cells: rows `top` to `bottom` and columns `left` to `right`, both ends exclusive."""

    top: int
    bottom: int
    left: int
    right: int

    @property
    def shape(self) -> tuple[int, int]:
        """Return the number of rows and columns."""
        return self.bottom - self.top, self.right - self.left

    @property
    def cells(self) -> int:
        """Return the number of grid cells."""
        return self.shape[0] * self.shape[1]

    @property
    def slices(self) -> tuple[slice, slice]:
        """Return the slices that cut the block out of a field (H, W)."""
        return slice(self.top, self.bottom), slice(self.left, self.right)

    def grid(self, grid: Grid) -> Grid:
        """Return the grid of the block's cells; `grid` is the whole one."""
        return grid.part(*self.slices)


def box_block(grid: Grid, bbox: BBox) -> Block | None:
    """Return the smallest rectangle of grid cells that contains a box; None if the box is outside the grid.

    Args:
        grid: whose cells.
        bbox: west, south, east, north in degrees; west greater than east crosses the antimeridian (RFC 7946, 5.2).

    Raises:
        InputError: not a box on Earth.
    """
    west, south, east, north = checked_bbox(bbox)
    east += 360.0 if east < west else 0.0
    if grid.projection.is_geographic and not grid.projection.is_derived:
        return _of_degrees(grid, (west, south, east, north))
    found = [_of_plane(grid, (first, south, last, north)) for first, last in spans_near(grid, west, east)]
    return _around([block for block in found if block is not None])


def checked_bbox(bbox: BBox) -> BBox:
    """Return the box if it is usable, with longitudes of 180 to 360 degrees as those of the west.

    Raises:
        InputError: not on Earth, or without height or width.
    """
    west, south, east, north = bbox
    if not _is_box(bbox):
        swapped = _swapped(bbox)
        raise InputError(
            "bbox: expected west,south,east,north with longitudes within -180 to 360 and latitudes within -90 to 90 "
            f"degrees, south below north and west different from east, got {_text(bbox)}"
            + ("" if swapped is None else f"; did you mean {_text(swapped)}?")
        )
    if east - west >= 360:
        return -180.0, south, 180.0, north
    return at_most_180(west), south, at_most_180(east), north


def _of_degrees(grid: Grid, bounds: BBox) -> Block | None:
    """Return the block of a box on a grid of degrees, which may have the box in another turn, or in two."""
    west, south, east, north = bounds
    turns = (touched(grid, (west + turn, south, east + turn, north)) for turn in (-360.0, 0.0, 360.0))
    return _around([block for block in turns if block is not None])


def _of_plane(grid: Grid, bounds: BBox) -> Block | None:
    """Return the block of a box on a map projection, where its edges are curves."""
    west, south, east, north = bounds
    lon_N, lat_N = np.linspace(west, east, EDGE_POINTS), np.linspace(south, north, EDGE_POINTS)
    lons = np.concatenate([lon_N, lon_N, np.full(EDGE_POINTS, west), np.full(EDGE_POINTS, east)])
    lats = np.concatenate([np.full(EDGE_POINTS, south), np.full(EDGE_POINTS, north), lat_N, lat_N])
    x_N, y_N = grid.to_xy(lons, lats)
    if np.isfinite(x_N).all() and np.isfinite(y_N).all():
        return touched(grid, (x_N.min(), y_N.min(), x_N.max(), y_N.max()))
    return _by_centres(grid, west, south, east, north)


def _around(blocks: Sequence[Block]) -> Block | None:
    """Return the smallest block with all of some blocks; None without any."""
    if not blocks:
        return None
    top, left = min(block.top for block in blocks), min(block.left for block in blocks)
    return Block(top, max(block.bottom for block in blocks), left, max(block.right for block in blocks))


def _by_centres(grid: Grid, west: float, south: float, east: float, north: float) -> Block | None:
    """Return the block of a box so large that the projection is undefined on its edges."""
    lon_HW, lat_HW = grid.lon_lat_HW()
    inside_HW = ((lon_HW - west) % 360.0 <= east - west) & (lat_HW >= south) & (lat_HW <= north)
    rows, cols = np.flatnonzero(inside_HW.any(axis=1)), np.flatnonzero(inside_HW.any(axis=0))
    return Block(int(rows[0]), int(rows[-1]) + 1, int(cols[0]), int(cols[-1]) + 1) if rows.size else None


def touched(grid: Grid, bounds: tuple[float, float, float, float]) -> Block | None:
    """Return the grid cells that a rectangle on the projection touches."""
    west, south, east, north = bounds
    left, right = math.floor((west - grid.west_m) / grid.pixel_x_m), math.ceil((east - grid.west_m) / grid.pixel_x_m)
    top, bottom = (
        math.floor((grid.north_m - north) / grid.pixel_y_m),
        math.ceil((grid.north_m - south) / grid.pixel_y_m),
    )
    block = Block(max(top, 0), min(bottom, grid.height), max(left, 0), min(right, grid.width))
    return block if block.shape[0] > 0 and block.shape[1] > 0 else None
