"""Motion of the rain at a place, and as vectors on a map."""

from dataclasses import dataclass
from typing import Final

import numpy as np

from core.arrays import Float64Field
from core.errors import TooLargeError
from service.forecasts.fields import FIELDS
from service.forecasts.motion import centres_lon_lat, read_motion
from service.forecasts.records import StoredForecast
from service.queries.cells import Block

MOST_VECTORS: Final = 10_000


@dataclass(frozen=True, eq=False)
class MotionVectors:
    """Motion at places, (N,) each; true directions.

    Attributes:
        lon, lat: degrees.
        eastward_ms, northward_ms: m/s.
        every_km: distance of two neighbours.
    """

    lon: Float64Field
    lat: Float64Field
    eastward_ms: Float64Field
    northward_ms: Float64Field
    every_km: float


def motion_vectors(forecast: StoredForecast, every_km: float, block: Block | None) -> MotionVectors | None:
    """Return the motion at the centres of coarse cells with a forecast; None where the forecast holds no motion.

    Args:
        forecast: which one.
        every_km: wanted distance of two vectors; the nearest multiple of the coarse cells' edge is taken.
        block: only coarse cells whose centre is one of these grid cells; None for all.

    Raises:
        TooLargeError: too many vectors.
    """
    motion, grid = read_motion(forecast), forecast.grid
    if motion is None:
        return None
    edge_km = grid.pixel_m * motion.factor / 1000
    step = max(1, round(every_km / edge_km))
    rows, cols = (np.arange(step // 2, count, step) for count in motion.eastward_ms_HW.shape)
    row_HW, col_HW = np.meshgrid(rows, cols, indexing="ij")
    within = block or Block(0, grid.height, 0, grid.width)
    at_row_HW, at_col_HW = (index_HW * motion.factor + motion.factor // 2 for index_HW in (row_HW, col_HW))
    kept_HW = (at_row_HW >= within.top) & (at_row_HW < min(within.bottom, grid.height))
    kept_HW &= (at_col_HW >= within.left) & (at_col_HW < min(within.right, grid.width))
    kept_HW[kept_HW] = np.isfinite(FIELDS.read(forecast).rate_mmh_HW(0)[at_row_HW[kept_HW], at_col_HW[kept_HW]])
    chosen = row_HW[kept_HW], col_HW[kept_HW]
    if chosen[0].size > MOST_VECTORS:
        raise TooLargeError(f"every_km: expected at most {MOST_VECTORS} vectors, got {chosen[0].size}")
    lon_HW, lat_HW = centres_lon_lat(grid, motion)
    fields = (lon_HW, lat_HW, motion.eastward_ms_HW, motion.northward_ms_HW)
    lon_N, lat_N, east_N, north_N = (field_HW[chosen].astype(np.float64) for field_HW in fields)
    known_N = np.isfinite(lon_N) & np.isfinite(east_N)
    return MotionVectors(lon_N[known_N], lat_N[known_N], east_N[known_N], north_N[known_N], step * edge_km)


def motion_at(forecast: StoredForecast, cell: tuple[int, int]) -> tuple[float, float] | None:
    """Return eastward and northward motion at a grid cell in m/s; None where it is not known."""
    motion = read_motion(forecast)
    if motion is None:
        return None
    at = cell[0] // motion.factor, cell[1] // motion.factor
    found = float(motion.eastward_ms_HW[at]), float(motion.northward_ms_HW[at])
    return None if np.isnan(found).any() else found


def speed_kmh(eastward_ms: float, northward_ms: float) -> float:
    """Return the speed."""
    return float(np.hypot(eastward_ms, northward_ms) * 3.6)


def towards_degrees(eastward_ms: float, northward_ms: float) -> float:
    """Return the direction towards which the rain moves, clockwise from north, from 0 to below 360."""
    return float(np.degrees(np.arctan2(eastward_ms, northward_ms)) % 360.0)
