"""Motion on cells of 1 to 2 km, and trajectories along it, which are smooth and upsampled to any grid."""

from dataclasses import dataclass
from typing import Final

import cv2
import numpy as np

from core.arrays import Float32Field
from core.stages import stage
from models.fields import MotionField
from models.guided.advection import Displacement, motion_CHW

MOTION_CELL_KM: Final = 2.0
"""Largest edge of a cell on which motion is estimated, unless the grid itself is coarser."""
PAIR_MINUTES: Final = 10.0
"""Approximate spacing of the fields whose motion is estimated; shorter ones move by too few cells."""
MOTION_MINUTES: Final = 60.0
SMOOTHING_CELLS: Final = 5.0
VECTOR_STEP: Final = 4
FASTEST_KMH: Final = 160.0
SUBSTEP_MINUTES: Final = 10.0
WIDEST: Final = 64
"""Largest edge of a coarse cell, in grid cells; fields are padded to whole ones."""
FIELD_CELL_KM: Final = 16.0
"""Largest edge of a cell of the motion that a forecast states."""


@dataclass(frozen=True)
class Trajectories:
    """Displacements of each cell back to its origin.

    Attributes:
        factor: edge of the cells of the motion's grid, in grid cells.
        motion_CHW: grid cells per minute on the motion's grid, x first, to the right and downwards.
        back_LCHW: displacement back to the origin 1, 2, ... steps ago in grid cells, on the motion's grid.
        estimated: whether two fields at least were observed; with one the motion is 0 and says nothing.
    """

    factor: int
    motion_CHW: Displacement
    back_LCHW: Displacement
    estimated: bool = True

    def back_CHW(self, steps: int, shape: tuple[int, int], factor: int) -> Displacement:
        """Return the displacement of `steps` steps on a grid of cells of `factor` grid cells, in cells of that grid."""
        parts = [
            cv2.resize(part_HW, shape[::-1], interpolation=cv2.INTER_LINEAR) for part_HW in self.back_LCHW[steps - 1]
        ]
        return np.asarray(np.stack(parts) / np.float32(factor), np.float32)

    def stated(self, shape: tuple[int, int], pixel_km: float) -> MotionField:
        """Return the motion in m/s, as means over cells of about `FIELD_CELL_KM` that cover a grid of this shape."""
        factor = max(cells_within(FIELD_CELL_KM, pixel_km), self.factor)
        rows, cols = (-(-size // factor) for size in shape)
        ms_CHW = self.motion_CHW * np.float32(pixel_km * 1000 / 60)
        right_HW, down_HW = (block_means(part_HW, factor // self.factor)[:rows, :cols] for part_HW in ms_CHW)
        return MotionField(right_HW, -down_HW, factor)

    def mean_speed_kmh(self, pixel_km: float) -> float:
        """Return the mean speed."""
        return float(np.hypot(*self.motion_CHW).mean()) * 60 * pixel_km


def trajectories(rate_mmh_THW: Float32Field, lead_steps: int, cadence_minutes: float, pixel_km: float) -> Trajectories:
    """Estimate the motion of the last hour and trace each cell back along it.

    Args:
        rate_mmh_THW: mm/h, NaN where not observed, rows and columns multiples of the motion's cells.
        lead_steps: number of steps to trace.
        cadence_minutes: spacing of the fields.
        pixel_km: edge of a cell.
    """
    factor = cells_within(MOTION_CELL_KM, pixel_km)
    chosen, every = _spaced(rate_mmh_THW, cadence_minutes)
    coarse_THW = np.stack([block_means(rate_mmh_THW[index], factor) for index in chosen])
    with stage("motion"):
        found = motion_CHW(coarse_THW, smoothing_cells=SMOOTHING_CELLS, step=VECTOR_STEP)
    motion = found * np.float32(factor / (every * cadence_minutes))
    motion = _capped(motion, FASTEST_KMH / 60 / pixel_km)
    substeps = max(int(np.ceil(cadence_minutes / SUBSTEP_MINUTES)), 1)
    per_step = motion * np.float32(cadence_minutes / substeps / factor)
    steps = max(lead_steps, round(MOTION_MINUTES / cadence_minutes))  # older fields are carried to the newest, too
    back_LCHW = traced_LCHW(per_step, steps * substeps)[substeps - 1 :: substeps]
    return Trajectories(factor, motion, back_LCHW * np.float32(factor), _observed(coarse_THW) > 1)


def _spaced(rate_mmh_THW: Float32Field, cadence_minutes: float) -> tuple[list[int], int]:
    """Return the fields of which the motion is estimated, counted from the newest, and their spacing in steps.

    Where fewer than two of them are observed, they are the two newest fields that are.
    """
    every = max(round(PAIR_MINUTES / cadence_minutes), 1)
    count = min(int(MOTION_MINUTES // (every * cadence_minutes)), (len(rate_mmh_THW) - 1) // every)
    chosen = [-1 - every * k for k in range(max(count, 0), -1, -1)]
    if count < 1:
        chosen, every = [0, -1], max(len(rate_mmh_THW) - 1, 1)
    if _observed(rate_mmh_THW[chosen]) < 2:
        present = [index for index in range(-len(rate_mmh_THW), 0) if _observed(rate_mmh_THW[index, None])]
        if len(present) > 1:
            chosen, every = present[-2:], present[-1] - present[-2]
    return chosen, every


def _observed(rate_mmh_THW: Float32Field) -> int:
    """Return how many fields have an observed cell."""
    return sum(bool(np.isfinite(field_HW).any()) for field_HW in rate_mmh_THW)


def fields_used(cadence_minutes: float) -> int:
    """Return how many of the newest fields the motion rests on: those of the last hour, at least 2."""
    return max(round(MOTION_MINUTES / cadence_minutes), 1) + 1


def cells_within(width_km: float, pixel_km: float) -> int:
    """Return the largest power of 2 of grid cells that is at most this wide, between 1 and `WIDEST`."""
    return int(2 ** np.clip(np.floor(np.log2(width_km / pixel_km)), 0, np.log2(WIDEST)))


def traced_LCHW(motion_CHW: Displacement, steps: int) -> Displacement:
    """Return the displacement of each cell back to its origin 1, 2, ... steps ago: semi-Lagrangian, by midpoints.

    Args:
        motion_CHW: cells per step, x first; beyond the edge it is that of the edge.
        steps: number of steps.
    """
    rows, cols = np.mgrid[: motion_CHW.shape[1], : motion_CHW.shape[2]].astype(np.float32)
    back_CHW, found = np.zeros_like(motion_CHW), []
    for _ in range(steps):
        half_CHW = _at(motion_CHW, cols + back_CHW[0], rows + back_CHW[1]) / 2
        back_CHW = back_CHW - _at(motion_CHW, cols + back_CHW[0] - half_CHW[0], rows + back_CHW[1] - half_CHW[1])
        found.append(back_CHW)
    return np.stack(found)


def _at(fields_CHW: Displacement, col_HW: Float32Field, row_HW: Float32Field) -> Displacement:
    """Return the values at these places, bilinear."""
    parts = [
        cv2.remap(part_HW, col_HW, row_HW, cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE) for part_HW in fields_CHW
    ]
    return np.stack(parts)


def block_means(rate_mmh_HW: Float32Field, factor: int) -> Float32Field:
    """Return means over squares of `factor` cells, which must fit; NaN where less than half was observed."""
    if factor == 1:
        return rate_mmh_HW
    seen_HW = np.isfinite(rate_mmh_HW)
    size = (rate_mmh_HW.shape[1] // factor, rate_mmh_HW.shape[0] // factor)
    sum_HW, share_HW = (
        cv2.resize(part_HW, size, interpolation=cv2.INTER_AREA)
        for part_HW in (np.where(seen_HW, rate_mmh_HW, np.float32(0.0)), seen_HW.astype(np.float32))
    )
    return np.where(share_HW >= 0.5, sum_HW / np.maximum(share_HW, np.float32(0.5)), np.float32(np.nan))


def _capped(motion: Displacement, fastest: float) -> Displacement:
    """Return motion of at most this speed, in the same direction."""
    speed_HW = np.hypot(motion[0], motion[1])
    return np.asarray(motion * np.minimum(1.0, fastest / np.maximum(speed_HW, 1e-6)), np.float32)
