"""The result of a forecast: rain rates, exceedance probabilities, and where they rest on an observation."""

from dataclasses import dataclass
from typing import Self

import numpy as np

from core.arrays import BoolField, Float32Field


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
        probability_grid_factor: how many grid cells along each axis share one value of probabilities and members.
    """

    rate_mmh_LHW: Float32Field
    known_LHW: BoolField
    exceedance_probability_KLHW: Float32Field | None = None
    thresholds_mmh: tuple[float, ...] = ()
    members_MLHW: Float32Field | None = None
    probability_grid_factor: int = 1

    @classmethod
    def known_in_coverage(cls, rate_mmh_LHW: Float32Field, newest_mmh_HW: Float32Field) -> Self:
        """Wrap rates whose origin is not traced: they are known wherever the newest field is observed."""
        covered_HW = np.isfinite(newest_mmh_HW)
        return cls(rate_mmh_LHW, np.broadcast_to(covered_HW, rate_mmh_LHW.shape).copy())
