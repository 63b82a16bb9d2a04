"""Result of a forecast: rates, probabilities, members, amounts, motion, and where they rest on an observation."""

from dataclasses import dataclass
from typing import Self

import numpy as np

from core.amounts import ForecastAmounts as ForecastAmounts
from core.arrays import BoolField, Float32Field
from core.cells import on_grid


@dataclass(frozen=True, eq=False)
class MotionField:
    """Motion of the rain on a coarse grid; row 0 is north.

    Attributes:
        eastward_ms_HW: along the rows of the grid to the right, in m/s.
        northward_ms_HW: along its columns upwards, in m/s.
        factor: edge of its cells in grid cells of the forecast; the last row and column may reach beyond these.
    """

    eastward_ms_HW: Float32Field
    northward_ms_HW: Float32Field
    factor: int


@dataclass(frozen=True, eq=False)
class ForecastFields:
    """Fields of one forecast by lead; row 0 is north.

    Attributes:
        rate_mmh_LHW: rain rate in mm/h; NaN exactly where the newest input field is not observed.
        known_LHW: True where the forecast rests on something observed, False where rain can flow in from outside the
            observed area, and where the rate is NaN. A rate of 0 that is not known does not mean "dry".
        exceedance_probability_KLHW: probability that the rate is at or above each threshold, not rising with the
            threshold, NaN where the rate is; None from a forecaster without probabilities.
        thresholds_mmh: ascending, one for each probability field; empty without probabilities.
        members_MLHW: ensemble members in mm/h; None unless requested.
        probability_grid_factor: how many grid cells along each axis share one value of members and amounts, and of
            probabilities unless they have the rate's rows and columns; the last row and column may reach beyond these.
        amounts: of the next hours, from the members; None without members.
        motion: of the rain; None from a forecaster without motion of its own.
    """

    rate_mmh_LHW: Float32Field
    known_LHW: BoolField
    exceedance_probability_KLHW: Float32Field | None = None
    thresholds_mmh: tuple[float, ...] = ()
    members_MLHW: Float32Field | None = None
    probability_grid_factor: int = 1
    amounts: ForecastAmounts | None = None
    motion: MotionField | None = None

    @classmethod
    def known_in_coverage(cls, rate_mmh_LHW: Float32Field, newest_mmh_HW: Float32Field) -> Self:
        """Wrap rates whose origin is not traced: they are known wherever the newest field is observed."""
        covered_HW = np.isfinite(newest_mmh_HW)
        return cls(rate_mmh_LHW, np.broadcast_to(covered_HW, rate_mmh_LHW.shape).copy())

    def members_MHW(self, lead: int) -> Float32Field:
        """Return the members of one lead, by its index, on the grid cells of the rate.

        Raises:
            ValueError: the forecast has no members.
        """
        if self.members_MLHW is None:
            raise ValueError("members: expected a forecast with members, got one without")
        return on_grid(self.members_MLHW[:, lead], self.probability_grid_factor, self.rate_mmh_LHW.shape[1:])


def all_missing(missing_HW: BoolField, factor: int) -> BoolField:
    """Return which cells of `factor` grid cells an edge hold nothing but missing cells."""
    rows, cols = missing_HW.shape
    padded_HW = np.pad(missing_HW, ((0, -rows % factor), (0, -cols % factor)), constant_values=True)
    blocks = padded_HW.reshape(padded_HW.shape[0] // factor, factor, padded_HW.shape[1] // factor, factor)
    return np.asarray(blocks.all(axis=(1, 3)))
