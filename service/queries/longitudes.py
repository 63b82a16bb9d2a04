"""Longitudes over the antimeridian: the bounds of a grid, and polygons cut to them in the grid's own turn."""

import math
from functools import lru_cache
from typing import Final, TypeAlias

import numpy as np
import shapely
from shapely.affinity import translate

from core.errors import InputError
from core.grid import Grid

Polygon: TypeAlias = shapely.Polygon | shapely.MultiPolygon

OUTLINE_POINTS: Final = 65
LEAST_GAP_DEG: Final = 45.0
"""A grid that leaves less than this of the longitudes goes round the Earth or over a pole."""

MARGIN_DEG: Final = 1.0
"""A polygon is cut this far outside of the grid: the points of the outline miss the extremes of a curved edge."""


@lru_cache(maxsize=64)
def bounds_of(grid: Grid) -> tuple[float, float, float, float]:
    """Return west, south, east and north of the grid's outer edges in degrees; west is above east over 180 degrees."""
    west, south, east, north = grid.extent_m
    x_N, y_N = np.linspace(west, east, OUTLINE_POINTS), np.linspace(south, north, OUTLINE_POINTS)
    lon, lat = (np.ravel(axis) for axis in grid.to_lon_lat(*np.meshgrid(x_N, y_N)))
    known = np.isfinite(lon) & np.isfinite(lat)
    lon, lat = lon[known], lat[known]
    south, north = float(lat.min()), float(lat.max())
    if lon.max() - lon.min() <= 180:
        return float(lon.min()), south, float(lon.max()), north
    lon = np.sort(lon % 360)  # the widest gap between longitudes is outside of the grid
    gaps = np.diff(lon, append=lon[0] + 360)
    widest = int(gaps.argmax())
    if gaps[widest] < LEAST_GAP_DEG:
        return -180.0, south, 180.0, north
    west, east = float(lon[(widest + 1) % lon.size]), float(lon[widest])
    return (west + 180) % 360 - 180, south, (east + 180) % 360 - 180, north


def at_most_180(lon: float) -> float:
    """Return a longitude of any turn within -180 to 180; these two stay."""
    return lon if abs(lon) <= 180 else (lon + 180) % 360 - 180


def check_edges(polygon: Polygon) -> None:
    """Check that every edge says which way it goes round the Earth.

    Raises:
        InputError: an edge spans more than 180 degrees of longitude, but not the whole circle.
    """
    for ring in shapely.get_rings(polygon):
        lon_N = shapely.get_coordinates(ring)[:, 0]
        span_N = np.abs(np.diff(lon_N))
        unclear_N = np.flatnonzero((span_N > 180) & (span_N < 360))
        if unclear_N.size:
            start, end = lon_N[unclear_N[0] : unclear_N[0] + 2]
            raise InputError(
                f"polygon: expected edges of at most 180 degrees of longitude, got one from {start:g} to {end:g}: over "
                "the antimeridian send longitudes that go on (179 to 181) or a MultiPolygon cut at 180 (RFC 7946, "
                "3.1.9); on the long way add vertices"
            )


def near_grid(polygon: Polygon, grid: Grid) -> Polygon:
    """Return what of a polygon is on the grid or close to it, in longitudes that go on over the grid; may be empty.

    One that is there with all its parts is returned as it is.
    """
    west, south, east, north = _window(grid)
    first, low, last, high = polygon.bounds
    if west <= first and last <= east and south <= low and high <= north:
        return polygon
    turns = range(math.floor((first - east) / 360), math.ceil((last - west) / 360) + 1)
    pieces: list[shapely.Polygon] = []
    for turn in turns:
        parts = pieces_within(polygon, west + 360 * turn, south, east + 360 * turn, north)
        pieces += [translate(part, -360.0 * turn) for part in parts]
    joined = shapely.union_all(pieces)
    return joined if isinstance(joined, shapely.Polygon | shapely.MultiPolygon) else shapely.MultiPolygon()


def spans_near(grid: Grid, west: float, east: float) -> list[tuple[float, float]]:
    """Return what of a range of longitudes is on the grid or close to it, in the grid's turn; two where it is cut.

    A projection is continuous there: at its own seam, opposite of the grid, the edges of a box would jump.
    """
    first, _, last, _ = _window(grid)
    turns = range(math.floor((west - last) / 360), math.ceil((east - first) / 360) + 1)
    spans = ((max(west - 360.0 * turn, first), min(east - 360.0 * turn, last)) for turn in turns)
    return [span for span in spans if span[0] < span[1]]


def pieces_within(polygon: Polygon, west: float, south: float, east: float, north: float) -> list[shapely.Polygon]:
    """Return what of a polygon is in a box; lines and points where they only touch are left out."""
    common = shapely.intersection(polygon, shapely.box(west, south, east, north))
    return [part for part in shapely.get_parts(common) if isinstance(part, shapely.Polygon)]


def _window(grid: Grid) -> tuple[float, float, float, float]:
    """Return the bounds of a grid with a margin, west below east, at most one turn wide."""
    if grid.projection.is_geographic and not grid.projection.is_derived:
        west, south, east, north = grid.extent_m
    else:
        west, south, east, north = bounds_of(grid)
        east += 360.0 if east < west else 0.0
    margin = min(MARGIN_DEG, max(0.0, (360.0 - (east - west)) / 2))
    return west - margin, south - MARGIN_DEG, east + margin, north + MARGIN_DEG
