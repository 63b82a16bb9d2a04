"""Optional cleaning of a field before it is stored: speckle filter and rounding of rates."""

from dataclasses import dataclass, replace
from typing import Final

import numpy as np
from scipy import ndimage

from core.frame import RadarFrame
from core.settings import Settings

EIGHT_NEIGHBOURS: Final = np.ones((3, 3), np.int8)


@dataclass(frozen=True)
class Cleaning:
    """The configured cleaning; by default none, so that a field is stored as it is in its file.

    Attributes:
        isolated_cells: speckle filter: wet clusters of at most this number of grid cells are set to dry; 0 disables it.
        step_mmh: rates are rounded to multiples of this value; 0 disables it.
    """

    isolated_cells: int = 0
    step_mmh: float = 0.0

    @classmethod
    def of(cls, settings: Settings) -> "Cleaning":
        """Return the cleaning that the settings configure."""
        return cls(settings.isolated_cells, settings.step_mmh)

    def __call__(self, frame: RadarFrame) -> RadarFrame:
        """Return the cleaned frame."""
        return rounded(without_isolated(frame, self.isolated_cells), self.step_mmh)


def without_isolated(frame: RadarFrame, max_cells: int) -> RadarFrame:
    """Set every wet cluster of at most `max_cells` grid cells (eight neighbours) to dry; 0 leaves the frame unchanged.

    Such speckle is clutter, ships and aircraft far more often than rain. A cluster at the edge of the observed area is
    judged by its visible cells.
    """
    if max_cells <= 0:
        return frame
    groups_HW, count = ndimage.label(frame.rate_mmh_HW > 0, structure=EIGHT_NEIGHBOURS)
    sizes = np.bincount(groups_HW.ravel(), minlength=count + 1)
    small = sizes <= max_cells
    small[0] = False
    return replace(frame, rate_mmh_HW=np.where(small[groups_HW], np.float32(0), frame.rate_mmh_HW))


def rounded(frame: RadarFrame, step_mmh: float) -> RadarFrame:
    """Round the rates to multiples of `step_mmh`; 0 leaves the frame unchanged.

    Binary RY and RV have a resolution of 0.01 mm in five minutes, or 0.12 mm/h; RV's HDF5 has 0.001 mm, or 0.012 mm/h,
    and so contains drizzle that is dry in the others. A step of 0.12 makes them comparable (docs/decisions/0021).
    """
    if step_mmh <= 0:
        return frame
    counts_HW = np.rint(frame.rate_mmh_HW.astype(np.float64) / step_mmh)
    return replace(frame, rate_mmh_HW=(counts_HW * step_mmh).astype(np.float32))
