"""Coasts, borders and cities for pictures; the lines come from one small file (Natural Earth 1:50m, public domain).

`python -m docs.make_borders` makes the file.
"""

from functools import lru_cache
from pathlib import Path
from typing import Final

import numpy as np

from core.arrays import Float64Field
from core.grid import Grid

FILE: Final = Path(__file__).with_name("borders.npz")
STEPS_PER_DEGREE: Final = 100
CREDIT: Final = "Borders: Natural Earth"
MARGIN_DEGREES: Final = 1.0

Polyline = Float64Field
"""Points (N, 2), longitude and latitude in degrees or x and y in a picture."""


CITIES: Final = (
    ("Hamburg", 53.55, 10.00),
    ("Berlin", 52.52, 13.405),
    ("Munich", 48.137, 11.575),
    ("Cologne", 50.938, 6.96),
    ("Frankfurt", 50.11, 8.68),
    ("Stuttgart", 48.776, 9.18),
    ("Leipzig", 51.34, 12.375),
    ("Hanover", 52.375, 9.735),
    ("Amsterdam", 52.37, 4.9),
    ("Prague", 50.088, 14.42),
    ("Zurich", 47.37, 8.54),
    ("Strasbourg", 48.58, 7.75),
    ("Vienna", 48.21, 16.37),
    ("Paris", 48.857, 2.352),
    ("London", 51.507, -0.128),
    ("Copenhagen", 55.676, 12.568),
    ("Warsaw", 52.23, 21.01),
    ("Milan", 45.464, 9.19),
    ("Helsinki", 60.17, 24.94),
    ("Tampere", 61.498, 23.76),
    ("Brisbane", -27.47, 153.02),
)
"""Name, latitude and longitude (degrees) of city centres."""


@lru_cache(maxsize=1)
def border_lines() -> tuple[Polyline, ...]:
    """Return all coasts and borders as longitudes and latitudes in degrees."""
    with np.load(FILE) as file:
        steps_N2, lengths = file["steps_N2"].astype(np.int64), file["lengths"]
    parts = np.split(steps_N2, np.cumsum(lengths)[:-1])
    return tuple(np.cumsum(part, axis=0) / STEPS_PER_DEGREE for part in parts)


@lru_cache(maxsize=16)
def picture_lines(grid: Grid) -> tuple[Polyline, ...]:
    """Return the coasts and borders on a grid, in grid cells from the north-western corner: x eastwards, y southwards.

    Lines end where they leave the surroundings of the grid.
    """
    lon_HW, lat_HW = grid.resized(min(grid.height, 24), min(grid.width, 24)).lon_lat_HW()
    south, north = np.nanmin(lat_HW) - MARGIN_DEGREES, np.nanmax(lat_HW) + MARGIN_DEGREES
    west, east = np.nanmin(lon_HW) - MARGIN_DEGREES, np.nanmax(lon_HW) + MARGIN_DEGREES
    found: list[Polyline] = []
    for line in border_lines():
        inside_N = (line[:, 0] > west) & (line[:, 0] < east) & (line[:, 1] > south) & (line[:, 1] < north)
        if inside_N.any():
            found += _on_grid(grid, line, inside_N)
    return tuple(found)


def _on_grid(grid: Grid, line: Polyline, inside_N: np.ndarray[tuple[int], np.dtype[np.bool_]]) -> list[Polyline]:
    x_m, y_m = grid.to_xy(line[:, 0], line[:, 1])
    points = np.stack([(x_m - grid.west_m) / grid.pixel_x_m, (grid.north_m - y_m) / grid.pixel_y_m], axis=1)
    kept_N = inside_N & np.isfinite(points).all(axis=1)
    cuts = np.flatnonzero(np.diff(kept_N)) + 1
    parts = zip(np.split(points, cuts), np.split(kept_N, cuts), strict=True)
    return [part for part, kept in parts if kept[0] and len(part) > 1]


def picture_cities(grid: Grid) -> list[tuple[str, float, float]]:
    """Return the cities on a grid with their x and y in grid cells, as `picture_lines`."""
    found = []
    for name, lat, lon in CITIES:
        if grid.cell_of(lat, lon) is not None:
            x_m, y_m = grid.to_xy(np.array([lon]), np.array([lat]))
            x, y = (x_m[0] - grid.west_m) / grid.pixel_x_m, (grid.north_m - y_m[0]) / grid.pixel_y_m
            found.append((name, float(x), float(y)))
    return found
