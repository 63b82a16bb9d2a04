"""A polygon on a grid, as the true area of it within each grid cell."""

import math
from dataclasses import dataclass
from functools import lru_cache
from itertools import pairwise
from typing import Final

import numpy as np
import shapely
from pyproj import CRS, Geod, Proj
from scipy.interpolate import RectBivariateSpline

from core.arrays import Float64Field
from core.errors import InputError, TooLargeError, shown
from core.grid import METRES_PER_DEGREE, Grid
from service.queries.cells import Block, is_on_earth, touched
from service.queries.longitudes import Polygon, check_edges, near_grid, pieces_within
from service.queries.shares import shares_of

MOST_VERTICES: Final = 20_000
CELLS_PER_PIECE: Final = 4.0
PIECE_M: Final = 4000.0
"""Length of the pieces into which edges are cut; they are straight in longitude and latitude, but not on the grid. One
of 4 km is off by 0.3 m at most in 50 degrees north."""

NODES: Final = 33
"""Places along each side of an area from which the areal scale, which is smooth, is interpolated."""

MOST_PIECES: Final = 200_000


@dataclass(frozen=True)
class AreaWeights:
    """A polygon on a grid.

    Attributes:
        block: the grid cells around it; None if it is outside the grid.
        km2_HW: true area of the polygon in each grid cell of the block.
        area_km2: true area of the whole polygon, including parts outside the grid.
    """

    block: Block | None
    km2_HW: Float64Field
    area_km2: float


def checked_polygon(polygon: shapely.Geometry) -> Polygon:
    """Return the polygon, in longitude and latitude, if it is usable.

    Raises:
        InputError: not a polygon, empty, invalid, or not on Earth.
        TooLargeError: too many vertices.
    """
    if not isinstance(polygon, shapely.Polygon | shapely.MultiPolygon):
        raise InputError(f"polygon: expected a Polygon or a MultiPolygon, got a {type(polygon).__name__}")
    vertices = int(shapely.get_num_coordinates(polygon))
    if vertices > MOST_VERTICES:
        raise TooLargeError(f"polygon: expected at most {MOST_VERTICES} vertices, got {vertices}")
    if polygon.is_empty or not np.isfinite(polygon.bounds).all():
        raise InputError("polygon: expected one with an area, got an empty one")
    west, south, east, north = polygon.bounds
    if west < -180 or east > 360 or east - west > 360 or south < -90 or north > 90:
        raise InputError(
            "polygon: expected longitudes within -180 to 360, at most 360 from west to east, and latitudes within -90 "
            f"to 90 degrees, got {west:g} {south:g} to {east:g} {north:g}"
            + (
                "; did you mean longitude before latitude?"
                if is_on_earth(west, south) and is_on_earth(east, north)
                else ""
            )
        )
    check_edges(polygon)
    if not polygon.is_valid:
        raise InputError(f"polygon: expected a valid polygon, got {shapely.is_valid_reason(polygon)}")
    return polygon


def area_weights(grid: Grid, polygon: Polygon) -> AreaWeights:
    """Return the polygon's true area in each grid cell: planar overlap divided by the areal scale of the projection.

    Args:
        grid: whose cells.
        polygon: in longitude and latitude, from `checked_polygon`.
    """
    near = near_grid(polygon, grid)
    dense = shapely.segmentize(near, max(_step_deg(grid), near.length / MOST_PIECES))
    planar = shapely.transform(dense, lambda xy_N2: np.stack(grid.to_xy(xy_N2[:, 0], xy_N2[:, 1]), axis=1))
    on_plane = not near.is_empty and np.isfinite(shapely.get_coordinates(planar)).all()
    block = touched(grid, planar.bounds) if on_plane else None
    if block is None:
        return AreaWeights(None, np.zeros((0, 0)), _whole_km2(grid, polygon))
    km2_HW = _overlap_km2(planar, block.grid(grid))
    is_on_grid = near is polygon and _is_within(planar, grid)
    return AreaWeights(block, km2_HW, float(km2_HW.sum()) if is_on_grid else _whole_km2(grid, polygon))


def cell_area_km2(grid: Grid) -> Float64Field:
    """Return the true area of every grid cell (H, W) on the grid's own ellipsoid."""
    x_HW, y_HW = np.meshgrid(grid.x_centres_m, grid.y_centres_m)
    return grid.pixel_x_m * grid.pixel_y_m * _true_km2(grid, x_HW, y_HW)


def _whole_km2(grid: Grid, polygon: Polygon) -> float:
    """Return the true area of a polygon; a wide one in quarters, since the sum round the Earth is ambiguous."""
    west, _, east, _ = polygon.bounds
    quarters = np.linspace(west, east, 5)
    wide = east - west > 180
    parts = (
        [pieces_within(polygon, left, -90, right, 90) for left, right in pairwise(quarters)] if wide else [[polygon]]
    )
    area_m2 = 0.0
    for part in (one for some in parts for one in some):
        dense = shapely.segmentize(part, max(_step_deg(grid), part.length / MOST_PIECES))
        area_m2 += abs(geod_of(grid.crs).geometry_area_perimeter(shapely.orient_polygons(dense))[0])
    return area_m2 / 1e6


def _overlap_km2(planar: Polygon, part: Grid) -> Float64Field:
    """Return the true area of the polygon in every grid cell, with the scale at the centre of the covered part."""
    west, north, width_m, height_m = part.west_m, part.north_m, part.pixel_x_m, part.pixel_y_m
    offset, size = np.array([west, north]), np.array([width_m, -height_m])
    shares = shares_of(shapely.transform(planar, lambda xy_N2: (xy_N2 - offset) / size), part.shape)
    cut_HW = (shares.share_HW > 0) & (shares.share_HW < 1)
    row_N, col_N = np.nonzero(cut_HW)
    x_N = part.x_centres_m[col_N] + shares.right_HW[cut_HW] * width_m
    y_N = part.y_centres_m[row_N] - shares.down_HW[cut_HW] * height_m
    scale_HW = np.where(shares.share_HW > 0, _cells_km2(part), 0.0)
    scale_HW[cut_HW] = _true_km2(part, x_N, y_N)
    return np.asarray(shares.share_HW * width_m * height_m * scale_HW)


def _is_within(planar: Polygon, grid: Grid) -> bool:
    """Return whether a polygon on the projection is on the grid, with all its parts."""
    west, south, east, north = planar.bounds
    left, low, right, high = grid.extent_m
    return bool(left <= west and low <= south and east <= right and north <= high)


def _cells_km2(grid: Grid) -> Float64Field:
    """Return the true area of one square metre (or square degree) of the projection at the centres of all cells."""
    x, y = grid.x_centres_m, grid.y_centres_m
    if not grid.projection.is_geographic and x.size * y.size > NODES * NODES and min(x.size, y.size) > 1:
        x_N, y_N = np.linspace(x[0], x[-1], NODES), np.linspace(y[-1], y[0], NODES)
        known = _true_km2(grid, *np.meshgrid(x_N, y_N, indexing="ij"))
        if np.isfinite(known).all():
            return np.asarray(RectBivariateSpline(x_N, y_N, known)(x, y[::-1]).T[::-1])
    return _true_km2(grid, *np.meshgrid(x, y))


def _true_km2(grid: Grid, x: Float64Field, y: Float64Field) -> Float64Field:
    """Return the true area of one square metre (or square degree) of the projection, at coordinates of the grid."""
    if grid.projection.is_geographic:  # of a rotated pole, too: its own latitude sets the width of a degree
        return _degree_km2(grid, y)
    return np.asarray(1e-6 / _factors(grid.crs).get_factors(*grid.to_lon_lat(x, y)).areal_scale)


def _degree_km2(grid: Grid, lat: Float64Field) -> Float64Field:
    """Return the true area of a square degree, from the radii of curvature of meridian and prime vertical."""
    figure = geod_of(grid.crs)
    radii = figure.a**2 * (1 - figure.es) / (1 - figure.es * np.sin(np.radians(lat)) ** 2) ** 2
    return np.asarray(radii * np.cos(np.radians(lat)) * math.radians(1) ** 2 / 1e6)


def _step_deg(grid: Grid) -> float:
    """Return the length of the pieces of edges: some kilometres on fine cells, half a cell on coarse ones."""
    degrees = grid.projection.is_geographic
    cell_deg = min(grid.pixel_x_m, grid.pixel_y_m) if degrees else grid.pixel_m / METRES_PER_DEGREE
    return min(CELLS_PER_PIECE * cell_deg, max(cell_deg / 2, PIECE_M / METRES_PER_DEGREE))


@lru_cache(maxsize=16)
def _factors(crs: str) -> Proj:
    return Proj(CRS.from_user_input(crs))


@lru_cache(maxsize=16)
def geod_of(crs: str) -> Geod:
    """Return the ellipsoid of a projection.

    Raises:
        InputError: it has none.
    """
    geod = CRS.from_user_input(crs).get_geod()
    if geod is None:
        raise InputError(f"expected a projection with an ellipsoid, which areas need, got {shown(crs)}")
    return geod
