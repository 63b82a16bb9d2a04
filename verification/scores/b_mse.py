"""Balanced squared error of rain."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from core.arrays import FloatField
from verification.balanced import balance_weight, pixel_values
from verification.scores.base import SCORES
from verification.scores.frames import RainFrameScore


@SCORES.register("b-mse")
@dataclass(frozen=True)
class BMSE(RainFrameScore):
    """Squared difference of pixel values 0 to 1 by weight of the rain, summed over a frame (Shi et al. 2017)."""

    def per_cell(self, forecast_mmh: FloatField, observed_mmh: FloatField) -> NDArray[np.float64]:
        difference = pixel_values(forecast_mmh) - pixel_values(observed_mmh)
        return np.asarray(balance_weight(observed_mmh) * np.square(difference), np.float64)
