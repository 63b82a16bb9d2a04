"""How much of each grid cell a polygon covers: exact, in time proportional to its vertices and the lines they cross.

Green's theorem, edge by edge, as font rasterisers do it: the area to the right of an edge within its own cell, and its
height in all cells further right, which one cumulative sum along the rows adds up. First moments go the same way, so
that the centre of each covered part is known, too.
"""

from dataclasses import dataclass
from typing import Final

import numpy as np
import shapely
from numpy.typing import NDArray

from core.arrays import Float64Field
from service.queries.longitudes import Polygon

Numbers = NDArray[np.float64]

LEAST: Final = 1e-9
"""Share below which a cell is not covered: what rounding leaves of sums that cancel."""


@dataclass(frozen=True, eq=False)
class CellShares:
    """The part of each cell (H, W) that a polygon covers.

    Attributes:
        share_HW: share of the cell's area, 0 to 1.
        right_HW: offset of the part's centre from the cell's, to the right, in cells.
        down_HW: the same downwards.
    """

    share_HW: Float64Field
    right_HW: Float64Field
    down_HW: Float64Field


def shares_of(polygon: Polygon, shape: tuple[int, int]) -> CellShares:
    """Return the parts of the cells of a grid that a polygon covers.

    Args:
        polygon: in cells: x to the right from 0 to W, y downwards from 0 to H; it may reach beyond.
        shape: rows and columns.
    """
    x0_N, y0_N, x1_N, y1_N, sign_N = _edges(polygon)
    inside_N = (np.maximum(y0_N, y1_N) > 0) & (np.minimum(y0_N, y1_N) < shape[0])
    inside_N &= np.minimum(x0_N, x1_N) < shape[1]
    edges = np.stack([x0_N, y0_N, x1_N, y1_N])[:, inside_N]
    return _summed(*_pieces(edges, sign_N[inside_N], shape), shape)


def _edges(polygon: Polygon) -> tuple[Numbers, Numbers, Numbers, Numbers, Numbers]:
    """Return the ends of all edges, and a sign by which shells count positive and holes negative."""
    starts, ends, signs = [], [], []
    for part in shapely.get_parts(polygon):
        for number, ring in enumerate(shapely.get_rings(part)):
            xy_N2 = shapely.get_coordinates(ring)
            local_N2 = xy_N2 - xy_N2[0]
            twice = (local_N2[:-1, 0] * local_N2[1:, 1] - local_N2[1:, 0] * local_N2[:-1, 1]).sum()
            starts.append(xy_N2[:-1])
            ends.append(xy_N2[1:])
            signs.append(np.full(len(xy_N2) - 1, (1.0 if number == 0 else -1.0) * np.sign(twice)))
    if not starts:
        return (np.zeros(0),) * 5
    (x0_N, y0_N), (x1_N, y1_N) = np.concatenate(starts).T, np.concatenate(ends).T
    return x0_N, y0_N, x1_N, y1_N, np.concatenate(signs)


def _pieces(edges: NDArray[np.float64], sign_N: Numbers, shape: tuple[int, int]) -> tuple[NDArray[np.float64], Numbers]:
    """Cut edges at the lines of the grid, so that each piece is in one cell."""
    number_N = np.arange(edges.shape[1])
    cuts = [_cuts(edges[axis], edges[axis + 2], number_N, shape[1 - axis]) for axis in (0, 1)]
    edge_M = np.concatenate([number_N, number_N, *(edge for edge, _ in cuts)])
    at_M = np.concatenate([np.zeros(len(number_N)), np.ones(len(number_N)), *(at for _, at in cuts)])
    order = np.lexsort((at_M, edge_M))
    edge_M, at_M = edge_M[order], at_M[order]
    same_M = edge_M[:-1] == edge_M[1:]
    edge_P, from_P, to_P = edge_M[:-1][same_M], at_M[:-1][same_M], at_M[1:][same_M]
    x0_P, y0_P, x1_P, y1_P = edges[:, edge_P]
    along = ((x0_P, x1_P, from_P), (y0_P, y1_P, from_P), (x0_P, x1_P, to_P), (y0_P, y1_P, to_P))
    return np.stack([start + (end - start) * at for start, end, at in along]), sign_N[edge_P]


def _cuts(start_N: Numbers, end_N: Numbers, number_N: NDArray[np.int_], lines: int) -> tuple[NDArray[np.int_], Numbers]:
    """Return where edges cross the lines 0 to `lines` of one axis: the edge's number, and the share of its length."""
    low_N, high_N = np.minimum(start_N, end_N), np.maximum(start_N, end_N)
    first_N = np.clip(np.ceil(low_N), 0, lines + 1).astype(np.int64)
    last_N = np.clip(np.floor(high_N), -1, lines).astype(np.int64)
    count_N = np.where(high_N > low_N, np.maximum(0, last_N - first_N + 1), 0)
    edge_M = np.repeat(number_N, count_N)
    before_M = np.repeat(np.cumsum(count_N) - count_N, count_N)
    line_M = np.arange(count_N.sum()) - before_M + first_N[edge_M]
    return edge_M, np.clip((line_M - start_N[edge_M]) / (end_N[edge_M] - start_N[edge_M]), 0.0, 1.0)


def _summed(pieces: NDArray[np.float64], sign_P: Numbers, shape: tuple[int, int]) -> CellShares:
    """Add up the pieces; one to the left of the grid counts as its left edge, others outside do not count."""
    (height, width), (x0_P, y0_P, x1_P, y1_P) = shape, pieces
    row_P = np.floor((y0_P + y1_P) / 2).astype(np.int64)
    col_P = np.floor((x0_P + x1_P) / 2).astype(np.int64)
    used_P = (row_P >= 0) & (row_P < height) & (col_P < width)
    x0_P, y0_P, x1_P, y1_P, sign_P = (one[used_P] for one in (x0_P, y0_P, x1_P, y1_P, sign_P))
    row_P, is_left_P = row_P[used_P], col_P[used_P] < 0
    col_P = np.maximum(col_P[used_P], 0)
    u0_P, u1_P = (np.where(is_left_P, -0.5, x_P - col_P - 0.5) for x_P in (x0_P, x1_P))  # from the cell's centre
    v0_P, v1_P = y0_P - row_P - 0.5, y1_P - row_P - 0.5
    height_P = sign_P * (v0_P - v1_P)
    middle_P = (v0_P + v1_P) / 2
    right_P = 0.5 - (u0_P + u1_P) / 2
    # integrals over the height of: what is right of the edge; that times v; (0.25 - u * u) / 2
    area_P = height_P * right_P
    down_P = height_P * (right_P * middle_P - (u1_P - u0_P) * (v1_P - v0_P) / 12)
    aside_P = height_P * (0.25 - (u0_P * u0_P + u0_P * u1_P + u1_P * u1_P) / 3) / 2
    cell_P, cells = row_P * width + col_P, height * width

    share_HW, down_HW = (
        _with_right(cell_P, own_P, further_P, shape)
        for own_P, further_P in ((area_P, height_P), (down_P, height_P * middle_P))
    )
    aside_HW = np.bincount(cell_P, aside_P, cells).reshape(shape)
    share_HW = np.where(share_HW > LEAST, np.minimum(share_HW, 1.0), 0.0)
    some_HW = share_HW > 0
    right_HW, down_HW = (
        np.clip(np.divide(one, share_HW, out=np.zeros(shape), where=some_HW), -0.5, 0.5) for one in (aside_HW, down_HW)
    )
    return CellShares(share_HW, right_HW, down_HW)


def _with_right(cell_P: NDArray[np.int64], own_P: Numbers, further_P: Numbers, shape: tuple[int, int]) -> Float64Field:
    """Add up what pieces add to their own cell, and to each cell further right in its row."""
    cells = shape[0] * shape[1]
    sums_HW = np.bincount(cell_P, own_P, cells).reshape(shape)
    further_HW = np.bincount(cell_P, further_P, cells).reshape(shape)
    sums_HW[:, 1:] += np.cumsum(further_HW, axis=1)[:, :-1]
    return np.asarray(sums_HW, np.float64)
