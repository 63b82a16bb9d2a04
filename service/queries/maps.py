"""Fields as maps in the reference systems of web maps; every pixel shows the grid cell at its centre."""

import io
import math
from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache
from typing import Final

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw
from pyproj import Transformer

from core.arrays import BoolField, Float32Field, Float64Field
from core.colours import HATCH, HATCH_PIXELS, NO_DATA, RAIN_COLOURS, Classes, colours, hatch
from core.errors import InputError, TooLargeError, shown
from core.grid import Grid

Indices = NDArray[np.int32]

MERCATOR_M: Final = 6_378_137.0
"""Radius of the sphere of EPSG:3857."""

MOST_PIXELS: Final = 2048
"""Limit of the width and of the height of a map."""

HELD_PIXELS: Final = 512 * 512
"""Limit up to which the cells of a map are cached: tiles are requested again for each lead, large maps rarely."""

PROJECTED: Final[Mapping[str, tuple[str, str]]] = {"EPSG:25832": ("x", "y"), "EPSG:31467": ("y", "x")}
"""Systems of Germany's authorities: ETRS89 / UTM 32N, and DHDN / Gauss-Krueger zone 3, which has northing first."""

AXES: Final[Mapping[str, tuple[str, str]]] = {
    "EPSG:3857": ("x", "y"),
    "EPSG:4326": ("y", "x"),
    "CRS:84": ("x", "y"),
    **PROJECTED,
}
"""Reference systems with the order of their axes in a box of WMS 1.3.0: EPSG:4326 has latitude first."""

DEEPEST: Final = 14
"""Largest zoom level of a tile: a pixel of 10 m, a hundredth of a grid cell."""

SIDE_PIXELS: Final = 256
HATCH_NO_DATA: Final = (88, 88, 88, 200)


@dataclass(frozen=True)
class View:
    """A rectangle of a reference system, and the pixels that show it.

    Attributes:
        crs: one of `AXES`.
        west, south, east, north: edges in the unit of the reference system.
    """

    crs: str
    west: float
    south: float
    east: float
    north: float
    width: int
    height: int

    def __post_init__(self) -> None:
        if self.crs not in AXES:
            raise InputError(f"reference system: expected one of {', '.join(AXES)}, got {shown(self.crs)}")
        edges = (self.west, self.south, self.east, self.north)
        if not (np.isfinite(edges).all() and self.west < self.east and self.south < self.north):
            found = ",".join(f"{edge:g}" for edge in edges)
            raise InputError(f"bbox: expected edges that enclose an area, got {found}")
        if self.width < 1 or self.height < 1:
            raise InputError(f"width, height: expected at least 1 pixel each, got {self.width} x {self.height}")
        if max(self.width, self.height) > MOST_PIXELS:
            raise TooLargeError(
                f"width, height: expected at most {MOST_PIXELS} pixels each, got {self.width} x {self.height}"
            )

    def place(self, column: int, row: int) -> tuple[float, float]:
        """Return longitude and latitude of a pixel's centre; NaN is not on Earth."""
        x, y = self._x_y()
        lon, lat = self._lon_lat(x[column : column + 1], y[row : row + 1])
        return float(lon[0]), float(lat[0])

    def lon_lat_HW(self) -> tuple[Float64Field, Float64Field]:
        """Return the longitudes and latitudes of all pixels, rows from the north; NaN is not on Earth."""
        x, y = self._x_y()
        if self.crs in PROJECTED:
            return self._lon_lat(*np.meshgrid(x, y))
        lon_W, lat_H = self._lon_lat(x, y)
        lon_HW, lat_HW = np.meshgrid(lon_W, lat_H)
        return lon_HW, lat_HW

    def _x_y(self) -> tuple[Float64Field, Float64Field]:
        x = self.west + (np.arange(self.width) + 0.5) * (self.east - self.west) / self.width
        y = self.north - (np.arange(self.height) + 0.5) * (self.north - self.south) / self.height
        return x, y

    def _lon_lat(self, x: Float64Field, y: Float64Field) -> tuple[Float64Field, Float64Field]:
        """Return coordinates in degrees; of a projected system, x and y are of the same pixels."""
        if self.crs in PROJECTED:
            lon, lat = to_lon_lat(self.crs).transform(x, y)
            found = np.isfinite(lon) & np.isfinite(lat)
            return np.where(found, lon, np.nan), np.where(found, lat, np.nan)
        if self.crs == "EPSG:3857":
            x, y = np.degrees(x / MERCATOR_M), np.degrees(np.arctan(np.sinh(np.clip(y / MERCATOR_M, -20, 20))))
        lon = np.where(np.abs(x) <= 180, x, (x + 180) % 360 - 180)  # a map goes on over the antimeridian
        return lon, np.where(np.abs(y) <= 90, y, np.nan)


@lru_cache(maxsize=len(PROJECTED))
def to_lon_lat(crs: str) -> Transformer:
    """Return the way from a projected system to longitude and latitude, x always first."""
    return Transformer.from_crs(crs, "EPSG:4326", always_xy=True)


def cells_of(view: View, grid: Grid) -> Indices:
    """Return the grid cell of every pixel as row * width + column, (H, W); -1 outside the grid."""
    return _held_cells(view, grid) if view.width * view.height <= HELD_PIXELS else _cells(view, grid)


def map_png(
    field_HW: Float32Field,
    cells_HW: Indices,
    *,
    background: tuple[int, int, int] | None = None,
    classes: Classes = RAIN_COLOURS,
    known_HW: BoolField | None = None,
) -> bytes:
    """Return the field as a picture: transparent where dry and outside the grid, grey without radar data.

    Args:
        field_HW: field on the grid.
        cells_HW: grid cell of each pixel, from `cells_of`.
        background: red, green and blue of transparent pixels; None leaves them transparent.
        classes: the colours.
        known_HW: mask on the grid; grid cells with a value where it is False are hatched. None hatches none.
    """
    outside_HW = cells_HW < 0
    value_HW = np.where(outside_HW, np.float32(0), field_HW.reshape(-1)[cells_HW])  # 0 is transparent
    pixels_HWC = colours(value_HW, classes)
    if known_HW is not None:
        unknown_HW = np.isfinite(value_HW) & ~outside_HW & ~known_HW.reshape(-1)[cells_HW]
        pixels_HWC = hatch(pixels_HWC, unknown_HW)
    picture = Image.fromarray(pixels_HWC)
    if background is not None:
        opaque = Image.new("RGBA", picture.size, (*background, 255))
        picture = Image.alpha_composite(opaque, picture).convert("RGB")
    return _png(picture)


def tile_view(zoom: int, column: int, row: int, scale: int = 1) -> View:
    """Return what a tile of the usual scheme shows: row 0 is the northernmost, `scale` 2 doubles the pixels.

    Raises:
        InputError: no such tile.
    """
    across = 2**zoom if 0 <= zoom <= DEEPEST else 0
    if not (0 <= column < across and 0 <= row < across):
        raise InputError(
            f"tile: expected a zoom level of 0 to {DEEPEST} and x and y below 2**z, got {zoom}/{column}/{row}"
        )
    edge_m = math.pi * MERCATOR_M
    side_m = 2 * edge_m / across
    west, north = column * side_m - edge_m, edge_m - row * side_m
    return View("EPSG:3857", west, north - side_m, west + side_m, north, SIDE_PIXELS * scale, SIDE_PIXELS * scale)


def tile_png(field_HW: Float32Field, cells_HW: Indices, classes: Classes, known_HW: BoolField | None = None) -> bytes:
    """Return a tile: transparent where dry and outside the grid, grey with falling lines without radar data.

    Args:
        field_HW: field on the grid.
        cells_HW: grid cell of each pixel, from `cells_of`.
        classes: the colours.
        known_HW: mask on the grid; rising lines lie over values where it is False. None draws no such lines.
    """
    value_HW = np.where(cells_HW < 0, np.float32(0), field_HW.reshape(-1)[cells_HW])
    index_HW = np.digitize(value_HW, np.array([edge for edge, _ in classes], np.float32)).astype(np.uint8)
    no_data, lines, no_data_lines = (len(classes) + more for more in (1, 2, 3))
    rows_H, cols_W = (np.arange(size) for size in index_HW.shape)
    missing_HW = np.isnan(value_HW)
    index_HW[missing_HW] = no_data
    index_HW[missing_HW & ((rows_H[:, None] - cols_W) % (2 * HATCH_PIXELS) == 0)] = no_data_lines
    if known_HW is not None:
        unknown_HW = ~missing_HW & (cells_HW >= 0) & ~known_HW.reshape(-1)[cells_HW]
        index_HW[unknown_HW & ((rows_H[:, None] + cols_W) % HATCH_PIXELS == 0)] = lines
    palette = np.array([(0, 0, 0, 0), *(colour for _, colour in classes), NO_DATA, HATCH, HATCH_NO_DATA], np.uint8)
    picture = Image.fromarray(index_HW)
    picture.putpalette(palette[:, :3].tobytes())
    buffer = io.BytesIO()
    picture.save(buffer, format="PNG", compress_level=3, transparency=palette[:, 3].tobytes())
    return buffer.getvalue()


def legend_png(unit: str, classes: Classes = RAIN_COLOURS) -> bytes:
    """Return the classes of the colours, highest first; probabilities (unit 1) are written as percentages."""
    words = [f"from {edge:.0%}" if unit == "1" else f"from {edge:g} {unit}" for edge, _ in classes]
    rows = [(colour, text) for (_, colour), text in zip(classes, words, strict=True)][::-1]
    rows.append((NO_DATA, "no radar data"))
    picture = Image.new("RGBA", (150, 18 * len(rows) + 6), (255, 255, 255, 255))
    draw = ImageDraw.Draw(picture)
    for number, (colour, text) in enumerate(rows):
        top = 18 * number + 4
        draw.rectangle((4, top, 28, top + 14), fill=colour, outline=(90, 90, 90, 255))
        draw.text((36, top + 1), text, fill=(0, 0, 0, 255))
    return _png(picture)


@lru_cache(maxsize=64)
def _held_cells(view: View, grid: Grid) -> Indices:
    return _cells(view, grid)


def _cells(view: View, grid: Grid) -> Indices:
    lon_HW, lat_HW = view.lon_lat_HW()
    x_HW, y_HW = grid.to_xy(lon_HW, lat_HW)
    with np.errstate(invalid="ignore"):
        row_HW = np.floor((grid.north_m - y_HW) / grid.pixel_y_m)
        col_HW = np.floor((x_HW - grid.west_m) / grid.pixel_x_m)
        inside_HW = (row_HW >= 0) & (row_HW < grid.height) & (col_HW >= 0) & (col_HW < grid.width)
    found_HW = np.where(inside_HW, row_HW * grid.width + col_HW, -1).astype(np.int32)
    found_HW.setflags(write=False)
    return found_HW


def _png(picture: Image.Image) -> bytes:
    buffer = io.BytesIO()
    picture.save(buffer, format="PNG", compress_level=3)
    return buffer.getvalue()
