"""Absolute error of pictures."""

from dataclasses import dataclass
from typing import ClassVar

import numpy as np
from numpy.typing import NDArray

from core.arrays import FloatField
from verification.scores.base import SCORES
from verification.scores.frames import PictureScore


@SCORES.register("mae")
@dataclass(frozen=True)
class MAE(PictureScore):
    """Absolute difference, summed (not averaged) over the pixels of a frame, as in the paper."""

    best: ClassVar[float] = 0.0

    def per_frame_N(self, forecast_NHW: FloatField, observed_NHW: FloatField) -> NDArray[np.float64]:
        return np.asarray(np.abs(forecast_NHW - observed_NHW).sum(axis=(1, 2)), np.float64)
