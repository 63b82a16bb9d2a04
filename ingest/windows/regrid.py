"""Bilinear regridding from the grid of a radar composite to the grid of a model."""

from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

from core.arrays import Float32Field
from core.cells import FEWEST_CELLS, CellEdges, cell_edges_m
from core.errors import InputError
from core.grid import Grid

Indices = tuple[NDArray[np.intp], NDArray[np.intp], Float32Field]

_DECIMALS = 6
"""Decimals of positions in cells; smaller differences are rounding errors, without weight and not outside the grid."""


def bilinear(rate_mmh_THW: Float32Field, height: int, width: int) -> Float32Field:
    """Resample to another number of cells over the same area, without prior smoothing.

    The areas of the cells are aligned, as in torch's `interpolate(mode="bilinear", align_corners=False)` and OpenCV's
    `INTER_LINEAR`. A cell is NaN where any neighbour that has weight in it is NaN.
    """
    if rate_mmh_THW.ndim != 3 or 0 in rate_mmh_THW.shape[1:] or height < 1 or width < 1:
        raise InputError(
            f"rate_mmh_THW: expected a shape (T, H, W) and sizes above 0, got {rate_mmh_THW.shape}, {height} x {width}"
        )
    rows = _neighbours(_aligned(rate_mmh_THW.shape[1], height), rate_mmh_THW.shape[1])
    cols = _neighbours(_aligned(rate_mmh_THW.shape[2], width), rate_mmh_THW.shape[2])
    across_TNW = _mix(rate_mmh_THW[:, rows[0]], rate_mmh_THW[:, rows[1]], rows[2][:, None])
    return _mix(across_TNW[:, :, cols[0]], across_TNW[:, :, cols[1]], cols[2])


def model_grid(source: Grid, pixel_m: float | CellEdges) -> Grid:
    """Return a grid over the source's area with cells of about a size, never finer than the source.

    An axis has at least 64 cells (or as few as the model was trained on), unless the source has fewer.

    Args:
        source: grid of the radar fields.
        pixel_m: edge of square cells, or height and width.
    """
    if not isinstance(pixel_m, CellEdges):
        if not pixel_m > 0:
            raise InputError(f"pixel_m: expected a positive size, got {pixel_m}")
        pixel_m = CellEdges(pixel_m, pixel_m, FEWEST_CELLS)
    pixel_y_m, pixel_x_m = cell_edges_m(source)
    height = _cells(source.height, pixel_y_m, pixel_m.pixel_y_m, pixel_m.fewest)
    width = _cells(source.width, pixel_x_m, pixel_m.pixel_x_m, pixel_m.fewest)
    return source.resized(height, width)


def onto(rate_mmh_THW: Float32Field, source: Grid, target: Grid) -> Float32Field:
    """Interpolate fields to the cell centres of another grid, bilinear; NaN outside the source.

    Longitude and latitude are kept between sphere and ellipsoid, as in `core.grid`.
    """
    if rate_mmh_THW.shape[1:] != source.shape:
        raise InputError(f"fields of shape {rate_mmh_THW.shape} on a grid of {source.shape}")
    if source.same_place(target):
        return np.asarray(rate_mmh_THW, np.float32)
    if source.crs == target.crs and np.allclose(source.extent_m, target.extent_m, rtol=1e-9, atol=1e-6):
        return bilinear(rate_mmh_THW, *target.shape)
    row_HW, col_HW, inside_HW = _positions(source, target)
    above_HW, below_HW, down_HW = _neighbours(row_HW, source.height)
    left_HW, right_HW, east_HW = _neighbours(col_HW, source.width)
    result_THW = np.empty((len(rate_mmh_THW), *target.shape), np.float32)
    for field_HW, out_HW in zip(rate_mmh_THW, result_THW, strict=True):
        north_HW = _mix(field_HW[above_HW, left_HW], field_HW[above_HW, right_HW], east_HW)
        south_HW = _mix(field_HW[below_HW, left_HW], field_HW[below_HW, right_HW], east_HW)
        out_HW[:] = np.where(inside_HW, _mix(north_HW, south_HW, down_HW), np.nan)
    return result_THW


def _aligned(cells_from: int, cells_to: int) -> NDArray[np.float64]:
    """Return the positions of the new cell centres, in old cells from the first old centre."""
    return np.asarray((np.arange(cells_to, dtype=np.float64) + 0.5) * (cells_from / cells_to) - 0.5)


def _neighbours(position: NDArray[np.float64], cells: int) -> Indices:
    """Return both neighbours of each position and the weight of the second; the edge cell extends outwards.

    A second neighbour without weight is replaced by the first one, so that its NaN has no effect.
    """
    clipped = np.clip(np.round(position, _DECIMALS), 0, cells - 1)
    first = np.floor(clipped).astype(np.intp)
    weight = (clipped - first).astype(np.float32)
    second = np.where(weight > 0, np.minimum(first + 1, cells - 1), first)
    return first, second, weight


def _mix(first: Float32Field, second: Float32Field, weight: Float32Field) -> Float32Field:
    mixed = first * (np.float32(1) - weight) + second * weight
    return np.asarray(mixed, np.float32)


def _cells(cells: int, from_m: float, to_m: float, minimum: int) -> int:
    return min(cells, max(round(cells * from_m / to_m), minimum))


@lru_cache(maxsize=4)
def _positions(source: Grid, target: Grid) -> tuple[NDArray[np.float64], NDArray[np.float64], NDArray[np.bool_]]:
    """Return row and column in the source of every target cell, and whether it is inside the source."""
    if source.crs == target.crs:
        x_HW, y_HW = np.meshgrid(source.in_own_turn(target.x_centres_m), target.y_centres_m)
    else:
        x_HW, y_HW = source.to_xy(*target.lon_lat_HW())
    row_HW = (source.north_m - y_HW) / source.pixel_y_m - 0.5
    col_HW = (x_HW - source.west_m) / source.pixel_x_m - 0.5
    inside_HW = np.isfinite(row_HW) & np.isfinite(col_HW)
    for position_HW, cells in ((row_HW, source.height), (col_HW, source.width)):
        inside_HW &= np.abs(np.round(position_HW, _DECIMALS) - (cells - 1) / 2) <= cells / 2
    return np.where(inside_HW, row_HW, 0.0), np.where(inside_HW, col_HW, 0.0), inside_HW
