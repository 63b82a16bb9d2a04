"""The grid of an ODIM_H5 composite: from its projection, cells, and two to four corners."""

from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache
from typing import Any, Final

import numpy as np
from pyproj import Proj
from pyproj.exceptions import CRSError

from core.errors import FrameError
from core.grid import Grid, known
from core.grid_checks import checked_grid
from ingest.readers.hdf5 import text
from ingest.readers.odim_attributes import number, optional_number, required

CORNERS: Final = ("UL", "UR", "LR", "LL")
TOLERANCE_CELLS: Final = 0.4
"""Corners at edges or at centres differ by a cell in their distance: nearer than this is one or the other."""

KILOMETRES: Final = 1000.0
SCALE_IS_KM: Final = 30.0
"""A scale in km makes the corners 1000 times as far apart as cells times scale: far above 1, far below 1000."""

LARGEST_RADIUS_KM: Final = 10_000.0
"""An ellipsoid with a smaller axis is stated in kilometres (KNMI's `+a=6378.14`)."""

Corner = tuple[str, float, float]
Places = Mapping[str, tuple[float, float]]


def odim_grid(root: Any, dataset: Any) -> Grid:
    """Return the grid of a data set: its own `where`, else the file's.

    Raises:
        FrameError: a missing attribute, an unknown projection, or corners that contradict the number of cells.
    """
    projdef = text(required("projdef", "where", dataset, root))
    cols, rows = (_whole(name, dataset, root) for name in ("xsize", "ysize"))
    scale_x, scale_y = (number(name, "where", dataset, root) for name in ("xscale", "yscale"))
    corners: list[Corner] = []
    for name in CORNERS:
        lon, lat = (optional_number(f"{name}_{axis}", "where", dataset, root) for axis in ("lon", "lat"))
        if lon is not None and lat is not None:
            corners.append((name, lon, lat))
    if not {"UL", "LR"} <= {name for name, _, _ in corners} and not {"UR", "LL"} <= {name for name, _, _ in corners}:
        got = ", ".join(name for name, _, _ in corners) or "none"
        raise FrameError(f"ODIM where: expected the corners {', '.join(CORNERS)} or two opposite ones, got {got}")
    return placed_grid(projdef, cols, rows, scale_x, scale_y, tuple(corners))


def _whole(name: str, dataset: Any, root: Any) -> int:
    value = number(name, "where", dataset, root)
    if value < 1 or value != int(value):
        raise FrameError(f"ODIM attribute where/{name}: expected a whole number above 0, got {value:g}")
    return int(value)


@lru_cache(maxsize=64)
def placed_grid(
    projdef: str, cols: int, rows: int, scale_x: float, scale_y: float, corners: tuple[Corner, ...]
) -> Grid:
    """Return the grid whose corners fit: at the edges of the corner cells or at their centres, scales in m or km.

    Raises:
        FrameError: the projection is unknown, or the corners fit neither.
    """
    projdef = in_metres(projdef)
    if not (scale_x > 0 and scale_y > 0):
        raise FrameError(f"ODIM where/xscale and yscale: expected sizes above 0, got {scale_x:g} and {scale_y:g}")
    try:
        project = Proj(projdef)
        places: Places = {name: project(lon, lat) for name, lon, lat in corners}
    except (CRSError, RuntimeError) as err:
        raise FrameError(f"projdef: expected a projection that PROJ knows, got {projdef!r}: {err}") from err
    for name, lon, lat in corners:
        if not np.isfinite(places[name]).all():
            raise FrameError(f"corner {name}: expected a place within the projection, got lon {lon:g}, lat {lat:g}")
    if project.crs.is_geographic:
        places = _in_one_turn(places)
    elif _span_x(places) > SCALE_IS_KM * cols * scale_x:
        scale_x, scale_y = scale_x * KILOMETRES, scale_y * KILOMETRES
    placements = [_Placement(cols, rows, scale_x, scale_y, inset, places) for inset in (0.0, 0.5)]
    best = min(placements, key=lambda placement: round(placement.worst_cells, 3))
    best.check()
    return known(checked_grid(Grid(projdef, *best.north_west, scale_x, scale_y, rows, cols)))


@dataclass(frozen=True)
class _Placement:
    """Corners taken as `inset` cells within the outer edges: 0 for edges, 0.5 for centres."""

    cols: int
    rows: int
    pixel_x: float
    pixel_y: float
    inset: float
    places: Places

    def from_north_west(self, name: str) -> tuple[float, float]:
        """Return the expected place of a corner, relative to the outer north-western corner."""
        col = self.inset if name.endswith("L") else self.cols - self.inset
        row = self.inset if name.startswith("U") else self.rows - self.inset
        return col * self.pixel_x, -row * self.pixel_y

    @property
    def north_west(self) -> tuple[float, float]:
        """Return the outer north-western corner, from the first corner that the file has."""
        name, place = next(iter(self.places.items()))
        east, north = self.from_north_west(name)
        return place[0] - east, place[1] - north

    def off(self, name: str) -> tuple[float, float]:
        """Return how far a corner of the file is from its expected place."""
        expected = np.add(self.north_west, self.from_north_west(name))
        off_x, off_y = np.abs(np.subtract(self.places[name], expected))
        return float(off_x), float(off_y)

    def off_cells(self, name: str) -> float:
        """Return how many cells a corner is from its expected place, along the worse axis."""
        off_x, off_y = self.off(name)
        return max(off_x / self.pixel_x, off_y / self.pixel_y)

    @property
    def worst_cells(self) -> float:
        """Return the distance of the worst corner in cells."""
        return max(self.off_cells(name) for name in self.places)

    def check(self) -> None:
        """Refuse corners that contradict the number and size of the cells."""
        first = next(iter(self.places))
        for name in self.places:
            if not self.off_cells(name) < TOLERANCE_CELLS:
                off_x, off_y = self.off(name)
                raise FrameError(
                    f"corner {name} is {off_x:.6g} and {off_y:.6g} from where {first} and {self.rows} x {self.cols} "
                    f"cells of {self.pixel_x:g} x {self.pixel_y:g} place it; "
                    f"expected less than {TOLERANCE_CELLS:g} cells"
                )


def _span_x(places: Places) -> float:
    east = next(places[name][0] for name in ("UR", "LR") if name in places)
    return east - next(places[name][0] for name in ("UL", "LL") if name in places)


def _in_one_turn(places: Places) -> Places:
    """Return places in degrees whose eastern corners are east of the western ones, across 180 degrees too."""
    if _span_x(places) > 0:
        return places
    return {name: (x + 360.0 if name.endswith("R") else x, y) for name, (x, y) in places.items()}


def in_metres(projdef: str) -> str:
    """Return a PROJ text whose coordinates are metres; text that states metres or degrees stays as it is.

    Kilometres are stated by `+units=km`, `+to_meter=1000`, or by an ellipsoid in kilometres as KNMI does.

    Raises:
        FrameError: another unit.
    """
    parts = dict(part.lstrip("+").partition("=")[::2] for part in projdef.split())
    if "proj" not in parts:
        return projdef
    unit, to_meter = parts.pop("units", "m"), parts.pop("to_meter", "1")
    try:
        factor = float(to_meter)
        small = any(float(parts[name]) < LARGEST_RADIUS_KM for name in ("a", "b", "R") if name in parts)
    except ValueError as err:
        raise FrameError(f"projdef: expected numbers for +to_meter, +a, +b and +R, got {projdef!r}") from err
    if unit not in ("m", "km") or factor not in (1.0, KILOMETRES):
        raise FrameError(f"projdef: expected coordinates in m or km, got {projdef!r}")
    if unit == "m" and factor == 1.0 and not small:
        return projdef
    for name in ("a", "b", "R", "x_0", "y_0"):
        if small and name in parts:
            parts[name] = repr(float(parts[name]) * KILOMETRES)
    return " ".join(f"+{name}={value}" if value else f"+{name}" for name, value in {**parts, "units": "m"}.items())
