"""Sizes of grid cells in metres: of a grid, and those that a model was trained on."""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from core.errors import InputError
from core.grid import METRES_PER_DEGREE, Grid

FEWEST_CELLS: Final = 64
"""Minimum number of cells on each axis of a model's grid, unless the model was trained on fewer."""


@dataclass(frozen=True)
class CellEdges:
    """Height and width of a model's grid cells, which need not be equal.

    Attributes:
        pixel_y_m, pixel_x_m: from north to south and from west to east.
        fewest: minimum number of cells on each axis of the grid that the model runs on.
    """

    pixel_y_m: float
    pixel_x_m: float
    fewest: int = FEWEST_CELLS

    def __post_init__(self) -> None:
        for name in ("pixel_y_m", "pixel_x_m"):
            value = getattr(self, name)
            if not (math.isfinite(value) and value > 0):
                raise InputError(f"{name}: expected a positive size in metres, got {value}")

    @property
    def mean_m(self) -> float:
        """Return the geometric mean of both edges."""
        return mean_edge_m(self.pixel_y_m, self.pixel_x_m)

    def times(self, factor: float) -> "CellEdges":
        """Return cells that are larger by a factor."""
        return CellEdges(self.pixel_y_m * factor, self.pixel_x_m * factor, self.fewest)


def edges_of_card(card: Mapping[str, Any]) -> CellEdges | None:
    """Return the cells of a checkpoint's card, None for an older card, which states `pixel_m` of square cells alone.

    Raises:
        InputError: one edge without the other, or a size that is not positive.
    """
    named = [key for key in ("pixel_y_m", "pixel_x_m") if card.get(key)]
    if not named:
        return None
    if len(named) == 1:
        raise InputError(f"card: expected both pixel_y_m and pixel_x_m, got only {named[0]}")
    grid = card.get("grid") or {}
    trained = [int(grid[key]) for key in ("height", "width") if grid.get(key)]
    return CellEdges(float(card["pixel_y_m"]), float(card["pixel_x_m"]), max(min([FEWEST_CELLS, *trained]), 1))


def mean_edge_m(pixel_y_m: float, pixel_x_m: float) -> float:
    """Return the geometric mean of a cell's edges: the edge of a square of the same area."""
    return pixel_y_m if pixel_y_m == pixel_x_m else math.sqrt(pixel_y_m * pixel_x_m)


def cell_edges_m(grid: Grid) -> tuple[float, float]:
    """Return height and width of a grid's cells in metres, of a geographic grid at its middle latitude."""
    if not grid.projection.is_geographic:
        return grid.pixel_y_m, grid.pixel_x_m
    middle_lat = grid.north_m - grid.height * grid.pixel_y_m / 2
    return (
        grid.pixel_y_m * METRES_PER_DEGREE,
        grid.pixel_x_m * METRES_PER_DEGREE * math.cos(math.radians(middle_lat)),
    )


def on_grid(coarse_HW: NDArray[Any], factor: int, shape: tuple[int, ...]) -> NDArray[Any]:
    """Return fields (..., H, W) of cells `factor` times as large on the grid cells themselves, each value repeated."""
    repeated_HW = coarse_HW.repeat(factor, axis=-2).repeat(factor, axis=-1)
    return np.asarray(repeated_HW[..., : shape[0], : shape[1]])
