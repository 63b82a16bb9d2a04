"""The grid cells of the areas of rules, worked out once in a process; and why a rule can raise no alert with them."""

from collections import OrderedDict
from collections.abc import Mapping, Sequence
from functools import lru_cache
from typing import Any, Final

import numpy as np
import shapely
from numpy.typing import NDArray
from rasterio import Affine
from rasterio.features import rasterize

from core.grid import METRES_PER_DEGREE, Grid
from service.alerts.regions import Regions
from service.alerts.rule import SUM, AlertRule, polygon_of
from service.forecasts.fields import FIELDS
from service.forecasts.records import StoredForecast
from service.queries.cells import box_block, swap_hint, touched
from service.queries.longitudes import Polygon, near_grid

Cells = NDArray[np.int32]
Area = tuple[str, Any]

HELD_CELLS: Final = 20_000_000
"""Most grid cells that a process keeps for all areas: 80 MB."""

NONE: Final[Cells] = np.zeros(0, np.int32)


class AreaCells:
    """Cells of areas, as indices into a field that is read row by row."""

    def __init__(self, regions: Regions, most_cells: int = HELD_CELLS) -> None:
        self._regions = regions
        self._most = most_cells
        self._count = 0
        self._held: OrderedDict[tuple[str, str], Cells] = OrderedDict()

    def of(self, grid: Grid, areas: Mapping[str, Area]) -> list[Cells]:
        """Return the cells of each area, empty outside the grid.

        Args:
            grid: of the forecast.
            areas: by their key.
        """
        missing = {key: area for key, area in areas.items() if (grid.key, key) not in self._held}
        fresh = self._find(grid, missing)
        found = [fresh[key] if key in fresh else self._held[grid.key, key] for key in areas]
        for key, cells in fresh.items():
            self._hold((grid.key, key), cells)
        return found

    def _find(self, grid: Grid, areas: Mapping[str, Area]) -> dict[str, Cells]:
        found = {key: self._cells(grid, area) for key, area in areas.items() if area[0] != "place"}
        places = {key: value for key, (kind, value) in areas.items() if kind == "place"}
        return found | dict(zip(places, _place_cells(grid, list(places.values())), strict=True))

    def _hold(self, key: tuple[str, str], cells: Cells) -> None:
        self._held[key] = cells
        self._count += cells.size + 1
        while self._count > self._most:
            self._count -= self._held.popitem(last=False)[1].size + 1

    def _cells(self, grid: Grid, area: Area) -> Cells:
        kind, value = area
        if kind == "bbox":
            block = box_block(grid, (value[0], value[1], value[2], value[3]))
            if block is None:
                return NONE
            rows_H1 = np.arange(block.top, block.bottom, dtype=np.int32)[:, None]
            return np.ravel(rows_H1 * grid.width + np.arange(block.left, block.right, dtype=np.int32))
        polygon = self._regions.find(value) if kind == "region" else polygon_of(value)
        return NONE if polygon is None else polygon_cells(grid, polygon)


def polygon_cells(grid: Grid, polygon: Polygon) -> Cells:
    """Return the cells that a polygon touches."""
    step_deg = grid.pixel_m / METRES_PER_DEGREE
    near = shapely.segmentize(near_grid(polygon, grid), step_deg)
    planar = shapely.transform(near, lambda xy_N2: np.stack(grid.to_xy(xy_N2[:, 0], xy_N2[:, 1]), axis=1))
    on_plane = not near.is_empty and np.isfinite(shapely.get_coordinates(planar)).all()
    block = touched(grid, planar.bounds) if on_plane else None
    if block is None:
        return NONE
    part = block.grid(grid)
    place = Affine(part.pixel_x_m, 0.0, part.west_m, 0.0, -part.pixel_y_m, part.north_m)
    inside_HW = rasterize([planar], part.shape, transform=place, all_touched=True, dtype="uint8")
    rows_N, cols_N = np.nonzero(inside_HW)
    return np.asarray((rows_N + block.top) * grid.width + cols_N + block.left, np.int32)


def _place_cells(grid: Grid, places: Sequence[Mapping[str, float]]) -> list[Cells]:
    """Return the cell of each place, all at once."""
    if not places:
        return []
    lon_N, lat_N = (np.array([place[name] for place in places], np.float64) for name in ("lon", "lat"))
    x_N, y_N = grid.to_xy(lon_N, lat_N)
    on_plane_N = np.isfinite(x_N) & np.isfinite(y_N)
    x_N, y_N = (np.where(on_plane_N, axis, np.inf) for axis in (x_N, y_N))
    with np.errstate(invalid="ignore"):
        row_N, col_N = np.floor((grid.north_m - y_N) / grid.pixel_y_m), np.floor((x_N - grid.west_m) / grid.pixel_x_m)
        inside_N = on_plane_N & (row_N >= 0) & (row_N < grid.height) & (col_N >= 0) & (col_N < grid.width)
    index_N = np.where(inside_N, row_N * grid.width + col_N, -1).astype(np.int32)
    return [index_N[n : n + 1] if index_N[n] >= 0 else NONE for n in range(len(places))]


@lru_cache(maxsize=1)
def cells_of(regions: Regions) -> AreaCells:
    """Return the cells of this process."""
    return AreaCells(regions)


def doubts_of(rule: AlertRule, forecast: StoredForecast, regions: Regions) -> list[str]:
    """Return why a rule raises no alert with forecasts such as this one; empty where nothing prevents it."""
    (cells_N,) = AreaCells(regions).of(forecast.grid, {rule.area_key: rule.area})
    doubts = []
    if not cells_N.size:
        kind, value = rule.area
        hint = swap_hint(forecast.grid, value["lat"], value["lon"]) if kind == "place" else ""
        doubts.append(f"no alert can be raised, since the area is outside the grid of the forecasts{hint}")
    elif not _is_observed(forecast, cells_N):
        doubts.append("no alert can be raised, since no radar observes the area")
    leads = forecast.lead_minutes
    if rule.quantity != SUM and not any(rule.lead_from <= lead <= rule.lead_to for lead in leads):
        near = ", ".join(str(lead) for lead in leads if abs(lead - rule.lead_from) <= 60) or f"up to {leads[-1]}"
        doubts.append(f"no alert can be raised, since no lead of the forecasts is in the lead window: {near} minutes")
    return doubts


def _is_observed(forecast: StoredForecast, cells_N: Cells) -> bool:
    """Return whether a radar observes some of the cells, or did in earlier scans."""
    fields = FIELDS.read(forecast)
    rows_cols = np.unravel_index(cells_N, forecast.grid.shape)
    return bool(np.isfinite(fields.rate[0, *rows_cols]).any() or fields.usual_HW[rows_cols].any())
