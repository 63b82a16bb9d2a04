"""What may be changed in a field before it is stored, each only if asked for: specks taken out, rates rounded."""

from dataclasses import dataclass, replace
from typing import Final

import numpy as np
from scipy import ndimage

from core.frame import RadarFrame
from core.settings import Settings

EIGHT_NEIGHBOURS: Final = np.ones((3, 3), np.int8)


@dataclass(frozen=True)
class Cleaning:
    """The changes asked for; by default none, and a field is stored as its file has it.

    Attributes:
        isolated_cells: wet groups of at most so many cells are taken for dry.
        step_mmh: rates are rounded to multiples of it.
    """

    isolated_cells: int = 0
    step_mmh: float = 0.0

    @classmethod
    def of(cls, settings: Settings) -> "Cleaning":
        """As the settings have it."""
        return cls(settings.isolated_cells, settings.step_mmh)

    def __call__(self, frame: RadarFrame) -> RadarFrame:
        """The frame that is stored."""
        return rounded(without_isolated(frame, self.isolated_cells), self.step_mmh)


def without_isolated(frame: RadarFrame, max_cells: int) -> RadarFrame:
    """The frame with every wet group of at most `max_cells` cells (eight neighbours) set to dry; 0 leaves it as it is.

    Such specks are clutter, ships and aircraft far more often than rain; a group at the edge of what is observed is
    taken for what it shows.
    """
    if max_cells <= 0:
        return frame
    groups_HW, count = ndimage.label(frame.rate_mmh_HW > 0, structure=EIGHT_NEIGHBOURS)
    sizes = np.bincount(groups_HW.ravel(), minlength=count + 1)
    small = sizes <= max_cells
    small[0] = False
    return replace(frame, rate_mmh_HW=np.where(small[groups_HW], np.float32(0), frame.rate_mmh_HW))


def rounded(frame: RadarFrame, step_mmh: float) -> RadarFrame:
    """The frame with its rates rounded to multiples of `step_mmh`; 0 leaves it as it is.

    Binary RY and RV count 0.01 mm in five minutes, steps of 0.12 mm/h; RV's HDF5 counts 0.001 mm, steps of 0.012 mm/h,
    and so shows drizzle that the others have as dry. A step of 0.12 makes them alike (docs/decisions/0021).
    """
    if step_mmh <= 0:
        return frame
    counts_HW = np.rint(frame.rate_mmh_HW.astype(np.float64) / step_mmh)
    return replace(frame, rate_mmh_HW=(counts_HW * step_mmh).astype(np.float32))
