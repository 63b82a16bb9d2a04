"""Cities and a graticule in the coordinates of the pictures, for orientation without map data."""

import math
from collections.abc import Sequence
from typing import Final

import numpy as np

from core.arrays import Float64Field
from core.borders import CITIES
from core.grid import Grid
from service.queries.longitudes import at_most_180
from service.schemas.forecasts import CityOut, MapCityOut, MapLineOut

STEPS_DEG: Final = (0.5, 1.0, 2.0, 5.0, 10.0, 30.0)
MOST_LINES: Final = 6
POINTS_PER_LINE: Final = 49
POINTS_PER_SIDE: Final = 24
LABEL_INSET: Final = 0.02
"""Distance of a label from the picture's edge, as a share of its size."""


def cities_of(grid: Grid) -> list[CityOut]:
    """Return the cities on the grid, with their grid cells."""
    cells = [(city, grid.cell_of(city[1], city[2])) for city in CITIES]
    return [CityOut(name=name, lat=lat, lon=lon, row=cell[0], col=cell[1]) for (name, lat, lon), cell in cells if cell]


def map_cities(grid: Grid) -> list[MapCityOut]:
    """Return the cities on the grid, in picture coordinates."""
    inside = [(city.name, *to_picture(grid, [city.lon], [city.lat])) for city in cities_of(grid)]
    return [MapCityOut(name=name, x=round(float(x[0]), 2), y=round(float(y[0]), 2)) for name, x, y in inside]


def graticule(grid: Grid) -> list[MapLineOut]:
    """Return meridians and parallels at round degrees across the grid."""
    lon, lat = _edge(grid)
    if lon.size == 0:
        return []  # no edge of the grid is on Earth
    lons, lats = _round_degrees(lon), _round_degrees(lat)
    along_lon, along_lat = (np.linspace(v.min(), v.max(), POINTS_PER_LINE) for v in (lon, lat))
    lines = [
        _line(grid, np.full_like(along_lat, degree), along_lat, _label(at_most_180(degree), "EW")) for degree in lons
    ]
    lines += [_line(grid, along_lon, np.full_like(along_lon, degree), _label(degree, "NS")) for degree in lats]
    return [line for line in lines if line is not None]


def outline(grid: Grid) -> list[tuple[float, float]]:
    """Return longitude and latitude along the grid's edge, clockwise from the north-western corner.

    Longitudes go on over the antimeridian; points that are not on Earth are left out.
    """
    west, south, east, north = grid.extent_m
    along, ends = np.linspace(0, 1, POINTS_PER_SIDE, endpoint=False), np.ones(POINTS_PER_SIDE)
    x_m = np.concatenate([west + (east - west) * along, east * ends, east - (east - west) * along, west * ends])
    y_m = np.concatenate([north * ends, north - (north - south) * along, south * ends, south + (north - south) * along])
    lon, lat = grid.to_lon_lat(x_m, y_m)
    on_earth = np.isfinite(lon) & np.isfinite(lat)
    lon = np.unwrap(lon[on_earth], period=360.0)
    return [(round(float(x), 3), round(float(y), 3)) for x, y in zip(lon, lat[on_earth], strict=True)]


def to_picture(
    grid: Grid, lon: Sequence[float] | Float64Field, lat: Sequence[float] | Float64Field
) -> tuple[Float64Field, Float64Field]:
    """Return picture coordinates, in grid cells from the north-western corner: x eastwards, y southwards."""
    x_m, y_m = grid.to_xy(np.asarray(lon, np.float64), np.asarray(lat, np.float64))
    return (x_m - grid.west_m) / grid.pixel_x_m, (grid.north_m - y_m) / grid.pixel_y_m


def _edge(grid: Grid) -> tuple[Float64Field, Float64Field]:
    """Return longitudes, going on over the antimeridian, and latitudes along the grid's outline."""
    lon_HW, lat_HW = grid.resized(min(grid.height, 32), min(grid.width, 32)).lon_lat_HW()
    sides = (np.s_[0, :], np.s_[-1, :], np.s_[:, 0], np.s_[:, -1])
    lon, lat = (np.concatenate([field_HW[side] for side in sides]) for field_HW in (lon_HW, lat_HW))
    known = np.isfinite(lon) & np.isfinite(lat)
    middle = lon_HW[lon_HW.shape[0] // 2, lon_HW.shape[1] // 2]
    middle = middle if np.isfinite(middle) else 0.0
    return (lon[known] - middle + 180) % 360 - 180 + middle, lat[known]


def _round_degrees(values: Float64Field) -> list[float]:
    low, high = float(values.min()), float(values.max())
    step = next((step for step in STEPS_DEG if (high - low) / step <= MOST_LINES), STEPS_DEG[-1])
    return [step * index for index in range(math.ceil(low / step), math.floor(high / step) + 1)]


def _line(grid: Grid, lon: Float64Field, lat: Float64Field, label: str) -> MapLineOut | None:
    x, y = to_picture(grid, lon, lat)
    known = np.isfinite(x) & np.isfinite(y)
    inside = known & (x >= 0) & (x <= grid.width) & (y >= 0) & (y <= grid.height)
    if inside.sum() < 2:
        return None
    shown = inside | np.roll(inside, 1) | np.roll(inside, -1)  # one point beyond each edge, so that the line meets it
    points = [
        (round(float(px), 2), round(float(py), 2)) for px, py in zip(x[shown & known], y[shown & known], strict=True)
    ]
    if label[-1] in "EW":  # a meridian, labelled at the southern edge
        end = (points[0][0], grid.height * (1 - LABEL_INSET / 2))
        named = points[0][1] > grid.height * (1 - LABEL_INSET) and _is_inside(grid, end)
        return MapLineOut(label=label, label_at=end if named else None, anchor="middle", points=points)
    end = (grid.width * LABEL_INSET / 2, points[0][1] - grid.height * LABEL_INSET / 2)  # western edge, above the line
    named = points[0][0] < grid.width * LABEL_INSET and _is_inside(grid, end)
    return MapLineOut(label=label, label_at=end if named else None, anchor="start", points=points)


def _is_inside(grid: Grid, point: tuple[float, float]) -> bool:
    """Return whether a label at this point is not cut off by the picture's edge."""
    x, y = point[0] / grid.width, point[1] / grid.height
    return LABEL_INSET / 2 <= x <= 1 - 2 * LABEL_INSET and 2 * LABEL_INSET <= y <= 1 - LABEL_INSET / 2


def _label(degree: float, signs: str) -> str:
    return f"{abs(degree):g}°{signs[degree < 0] if degree else ''}" if degree else f"0°{signs[0]}"
