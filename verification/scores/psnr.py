"""Peak signal-to-noise ratio of pictures."""

from dataclasses import dataclass
from typing import ClassVar, Final

import numpy as np
from numpy.typing import NDArray

from core.arrays import FloatField
from verification.scores.base import SCORES
from verification.scores.frames import PictureScore

FLOOR: Final = 1e-5
"""The reference adds this to the mean squared difference, so that equal frames have 50 dB and not infinity."""


@SCORES.register("psnr")
@dataclass(frozen=True)
class PSNR(PictureScore):
    """10 log10(1 / (mean squared difference + 1e-5)) in dB of each frame, then the mean; at most 50 dB."""

    best: ClassVar[float] = 50.0

    def per_frame_N(self, forecast_NHW: FloatField, observed_NHW: FloatField) -> NDArray[np.float64]:
        mean_N = np.square(forecast_NHW - observed_NHW).mean(axis=(1, 2))
        return np.asarray(-10.0 * np.log10(mean_N + FLOOR), np.float64)
