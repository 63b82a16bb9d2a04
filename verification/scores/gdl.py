"""Gradient difference loss of pictures."""

from dataclasses import dataclass
from typing import ClassVar

import numpy as np
from numpy.typing import NDArray

from core.arrays import FloatField
from verification.scores.base import SCORES
from verification.scores.frames import PictureScore


@SCORES.register("gdl")
@dataclass(frozen=True)
class GDL(PictureScore):
    """Difference of the steps between neighbours, summed (Mathieu et al. 2016, arXiv:1511.05440, with exponent 1)."""

    best: ClassVar[float] = 0.0

    def per_frame_N(self, forecast_NHW: FloatField, observed_NHW: FloatField) -> NDArray[np.float64]:
        sums_N = np.zeros(len(forecast_NHW))
        for axis in (1, 2):
            step, true_step = (np.abs(np.diff(frames_NHW, axis=axis)) for frames_NHW in (forecast_NHW, observed_NHW))
            sums_N += np.abs(step - true_step).sum(axis=(1, 2))
        return sums_N
