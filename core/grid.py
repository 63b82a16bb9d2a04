"""Regular grids on a map projection, row 0 in the north."""

import hashlib
import math
from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import cached_property, lru_cache
from typing import Any, Final

import numpy as np
from pyproj import CRS, Transformer
from pyproj.exceptions import CRSError

from core.arrays import Float64Field
from core.errors import FrameError, InputError
from core.records import RecordCodec

RADOLAN_SPHERE: Final = (
    "+proj=stere +lat_0=90 +lat_ts=60 +lon_0=10 +a=6370040 +b=6370040 +x_0=0 +y_0=0 +units=m +no_defs"
)
"""Polar stereographic on the sphere of 6370.04 km (DWD): binary files before format version 5."""

DWD_WGS84: Final = (
    "+proj=stere +lat_0=90 +lat_ts=60 +lon_0=10 +a=6378137 +b=6356752.3142451802 "
    "+x_0=543196.83521776402 +y_0=3622588.8619310018 +units=m +no_defs"
)
"""DWD's WGS84 composite projection as its ODIM HDF5 files state it; also binary files of format version 5."""

REFERENCE_LON_LAT: Final = (9.0, 51.0)
"""9 E 51 N is a cell corner of every DWD composite; grids differ in the number of cells west and south of it."""

CELLS_TO_REFERENCE: Final[Mapping[tuple[int, int], tuple[int, int, str]]] = {
    (900, 900): (450, 450, "radolan-900x900"),
    (1100, 900): (370, 550, "radolan-1100x900"),
    (1500, 1400): (600, 800, "radolan-1500x1400"),
    (1200, 1100): (470, 600, "de1200"),
}
"""(rows, columns) of a DWD 1-km composite: cells west and south of the reference point (wradlib, `georef/rect.py`)."""

METRES_PER_DEGREE: Final = 111_195.0
"""Length of a degree of latitude on a sphere of radius 6,371 km."""

_SAME_PLACE_M: Final = 1.0


@dataclass(frozen=True)
class Grid:
    """A regular grid of equal cells on a map projection.

    Attributes:
        crs: PROJ text or WKT of the projection.
        west_m, north_m: outer edges of the north-western cell, in the projection's metres (degrees if geographic).
        pixel_x_m, pixel_y_m: size of a grid cell, both positive.
        height, width: rows from the north, columns from the west.
        name: a short label for display; grids with the same cells are equal in place, whatever their names.
    """

    crs: str
    west_m: float
    north_m: float
    pixel_x_m: float
    pixel_y_m: float
    height: int
    width: int
    name: str = ""

    def __post_init__(self) -> None:
        if self.height < 1 or self.width < 1 or not self.pixel_x_m > 0 or not self.pixel_y_m > 0:
            raise InputError(
                f"grid: expected positive sizes, got {self.height} x {self.width} cells of "
                f"{self.pixel_y_m} x {self.pixel_x_m}"
            )

    @property
    def shape(self) -> tuple[int, int]:
        """Return the number of rows and of columns."""
        return self.height, self.width

    @property
    def extent_m(self) -> tuple[float, float, float, float]:
        """Return the outer edges: west, south, east, north."""
        return (
            self.west_m,
            self.north_m - self.height * self.pixel_y_m,
            self.west_m + self.width * self.pixel_x_m,
            self.north_m,
        )

    @property
    def x_centres_m(self) -> Float64Field:
        """Return the centres of the columns, ascending, shape (W,)."""
        return self.west_m + (np.arange(self.width, dtype=np.float64) + 0.5) * self.pixel_x_m

    @property
    def y_centres_m(self) -> Float64Field:
        """Return the centres of the rows, descending from the north, shape (H,)."""
        return self.north_m - (np.arange(self.height, dtype=np.float64) + 0.5) * self.pixel_y_m

    @property
    def pixel_m(self) -> float:
        """Return the mean edge of a grid cell in projection metres (geographic grids: at the middle latitude)."""
        if not self.projection.is_geographic:
            return math.sqrt(self.pixel_x_m * self.pixel_y_m)
        middle_lat = self.north_m - self.height * self.pixel_y_m / 2
        return METRES_PER_DEGREE * math.sqrt(self.pixel_x_m * self.pixel_y_m * math.cos(math.radians(middle_lat)))

    @cached_property
    def projection(self) -> CRS:
        """Return the projection as a pyproj object."""
        return _crs(self.crs)

    def same_place(self, other: "Grid") -> bool:
        """Return whether both grids have the same cells, to within a metre."""
        return (
            self.shape == other.shape
            and np.allclose(
                self.extent_m, other.extent_m, rtol=0, atol=_SAME_PLACE_M / (METRES_PER_DEGREE if self._degrees else 1)
            )
            and (self.crs == other.crs or np.allclose(self.corners_lon_lat(), other.corners_lon_lat(), atol=1e-5))
        )

    def cell_of(self, lat: float, lon: float) -> tuple[int, int] | None:
        """Return row and column of a place, or None outside the grid.

        Raises:
            InputError: latitude or longitude is out of range.
        """
        if not (-90 <= lat <= 90 and -180 <= lon <= 360):
            raise InputError(
                f"expected lat within -90 to 90 and lon within -180 to 360 degrees, got lat {lat}, lon {lon}"
            )
        x_m, y_m = (float(value) for value in self.to_xy(np.array(lon, np.float64), np.array(lat, np.float64)))
        if not (np.isfinite(x_m) and np.isfinite(y_m)):
            return None
        row = int(np.floor((self.north_m - y_m) / self.pixel_y_m))
        col = int(np.floor((x_m - self.west_m) / self.pixel_x_m))
        return (row, col) if 0 <= row < self.height and 0 <= col < self.width else None

    def to_xy(self, lon: Float64Field, lat: Float64Field) -> tuple[Float64Field, Float64Field]:
        """Return projection coordinates of places, infinite where undefined; longitudes in the grid's own turn."""
        x_m, y_m = (np.asarray(axis) for axis in _from_lon_lat(self.crs).transform(lon, lat))
        return self.in_own_turn(x_m), y_m

    def in_own_turn(self, x_m: Float64Field) -> Float64Field:
        """Return longitudes within half a turn of the grid's middle; coordinates of a map projection unchanged."""
        if not self._degrees:
            return x_m
        middle = self.west_m + self.width * self.pixel_x_m / 2
        with np.errstate(invalid="ignore"):  # infinite where undefined
            other_turn = np.isfinite(x_m) & (np.abs(x_m - middle) > 180)
            return np.where(other_turn, (x_m - middle + 180) % 360 + middle - 180, x_m)

    def to_lon_lat(self, x_m: Float64Field, y_m: Float64Field) -> tuple[Float64Field, Float64Field]:
        """Return longitude (within -180 to 180) and latitude of projection coordinates."""
        lon, lat = (np.asarray(axis) for axis in _from_lon_lat(self.crs).transform(x_m, y_m, direction="INVERSE"))
        with np.errstate(invalid="ignore"):  # infinite where undefined
            return np.where(np.isfinite(lon) & (np.abs(lon) > 180), (lon + 180) % 360 - 180, lon), lat

    def lon_lat_HW(self) -> tuple[Float64Field, Float64Field]:
        """Return longitude and latitude of every cell centre, degrees on WGS84 (on the sphere for spherical grids)."""
        x_HW, y_HW = np.meshgrid(self.x_centres_m, self.y_centres_m)
        return self.to_lon_lat(x_HW, y_HW)

    def corners_lon_lat(self) -> list[tuple[float, float]]:
        """Return longitude and latitude of the outer corners: NW, NE, SE, SW."""
        west, south, east, north = self.extent_m
        lon, lat = self.to_lon_lat(np.array([west, east, east, west]), np.array([north, north, south, south]))
        return list(zip(lon.tolist(), lat.tolist(), strict=True))

    def resized(self, height: int, width: int) -> "Grid":
        """Return a grid of the same area with another number of cells."""
        return replace(
            self,
            pixel_x_m=self.pixel_x_m * self.width / width,
            pixel_y_m=self.pixel_y_m * self.height / height,
            height=height,
            width=width,
            name=f"{self.name}@{height}x{width}" if (height, width) != self.shape else self.name,
        )

    def part(self, rows: slice, cols: slice) -> "Grid":
        """Return the grid of a block of its cells; slices have no step, and no negative ends."""
        top, bottom, _ = rows.indices(self.height)
        left, right, _ = cols.indices(self.width)
        return replace(
            self,
            west_m=self.west_m + left * self.pixel_x_m,
            north_m=self.north_m - top * self.pixel_y_m,
            height=bottom - top,
            width=right - left,
            name=f"part of {self.name}",
        )

    @property
    def key(self) -> str:
        """Return a short text that is equal for grids of equal place, for file names and catalogues."""
        numbers = [round(edge, 1 if not self._degrees else 6) + 0.0 for edge in self.extent_m]  # -0.0 is 0.0
        corners = [round(degree, 4) + 0.0 for corner in self.corners_lon_lat() for degree in corner]
        return hashlib.sha256(f"{self.shape} {numbers} {corners}".encode()).hexdigest()[:12]

    def to_dict(self) -> dict[str, Any]:
        """Return plain values, as `from_dict` reads them."""
        return GRID_CODEC.to_dict(self)

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> "Grid":
        """Return the grid of `to_dict`'s values.

        Raises:
            FrameError: a value is missing or of another kind.
        """
        return GRID_CODEC.from_dict(values)

    @property
    def _degrees(self) -> bool:
        return bool(self.projection.is_geographic)


GRID_CODEC: Final = RecordCodec(Grid)


@lru_cache(maxsize=64)
def _crs(crs: str) -> CRS:
    try:
        return CRS.from_user_input(crs)
    except CRSError as err:
        raise FrameError(f"projection {crs!r} is not known to PROJ: {err}") from err


@lru_cache(maxsize=64)
def _from_lon_lat(crs: str) -> Transformer:
    """Return the transformer from longitude and latitude to the projection, on the grid's own ellipsoid."""
    projection = _crs(crs)
    is_rotated = projection.is_geographic and projection.is_derived  # degrees, but not those of places
    base = projection.source_crs if is_rotated else projection.geodetic_crs
    return Transformer.from_crs(base, projection, always_xy=True)


@lru_cache(maxsize=32)
def dwd_grid(rows: int, cols: int, *, wgs84: bool) -> Grid:
    """Return one of DWD's 1-km composite grids by its size.

    Args:
        rows: number of rows.
        cols: number of columns.
        wgs84: on the WGS84 ellipsoid (ODIM HDF5 and binary files of format version 5) instead of the sphere.

    Raises:
        FrameError: no DWD composite has that size; an unknown grid is never guessed.
    """
    if (rows, cols) not in CELLS_TO_REFERENCE:
        known = ", ".join(f"{h} x {w}" for h, w in CELLS_TO_REFERENCE)
        raise FrameError(f"size of a DWD composite: expected one of {known} cells, got {rows} x {cols}")
    cells_west, cells_south, name = CELLS_TO_REFERENCE[rows, cols]
    crs = DWD_WGS84 if wgs84 else RADOLAN_SPHERE
    x_m, y_m = _from_lon_lat(crs).transform(*REFERENCE_LON_LAT)
    west_m, north_m = x_m - cells_west * 1000.0, y_m + (rows - cells_south) * 1000.0
    if wgs84:  # DWD's own false easting and northing put the edges on multiples of 500 m; take off the rounding
        west_m, north_m = round(west_m, 0), round(north_m, 0)
    name = name if wgs84 == (name == "de1200") else f"{name}-{'wgs84' if wgs84 else 'sphere'}"
    return Grid(crs, west_m, north_m, 1000.0, 1000.0, rows, cols, name)


RADOLAN_900: Final = dwd_grid(900, 900, wgs84=False)
RADOLAN_1100: Final = dwd_grid(1100, 900, wgs84=False)
DE1200: Final = dwd_grid(1200, 1100, wgs84=True)


def known(grid: Grid) -> Grid:
    """Return DWD's own grid object where a file's grid is within a metre of it, else the grid unchanged."""
    for wgs84 in (True, False):
        if grid.shape in CELLS_TO_REFERENCE and not grid.projection.is_geographic:
            candidate = dwd_grid(*grid.shape, wgs84=wgs84)
            if np.allclose(grid.corners_lon_lat(), candidate.corners_lon_lat(), rtol=0, atol=2e-5):
                return candidate
    return grid
