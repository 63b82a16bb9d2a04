"""Structural similarity of pictures."""

from dataclasses import dataclass
from functools import lru_cache
from typing import Final

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import correlate1d

from core.arrays import FloatField
from verification.scores.base import SCORES
from verification.scores.frames import PictureScore

WINDOW: Final = 11
SIGMA: Final = 1.5
C1: Final = 0.01**2
C2: Final = 0.03**2
"""(K1 L)^2 and (K2 L)^2 with the dynamic range L = 1."""


@SCORES.register("ssim")
@dataclass(frozen=True)
class SSIM(PictureScore):
    """Mean structural similarity (Wang et al. 2004) over the positions of a window that is entirely within the frame.

    Gaussian window 11 x 11 with sigma 1.5, both smaller in proportion in a frame with a side under 11; weighted
    (biased) variances. `structural_similarity(gaussian_weights=True, sigma=1.5, use_sample_covariance=False)` of
    scikit-image returns the same for larger frames, one at a time.
    """

    def per_frame_N(self, forecast_NHW: FloatField, observed_NHW: FloatField) -> NDArray[np.float64]:
        window = _window(min(WINDOW, *forecast_NHW.shape[1:]))
        before, after = len(window) // 2, (len(window) - 1) // 2
        rows, columns = (slice(before, length - after) for length in forecast_NHW.shape[1:])

        def smooth(x_NHW: FloatField) -> FloatField:
            smoothed: FloatField = correlate1d(correlate1d(x_NHW, window, axis=1), window, axis=2)
            return smoothed[:, rows, columns]

        mean_f, mean_o = smooth(forecast_NHW), smooth(observed_NHW)
        variances = smooth(forecast_NHW**2) + smooth(observed_NHW**2) - mean_f**2 - mean_o**2
        covariance = smooth(forecast_NHW * observed_NHW) - mean_f * mean_o
        alike = (2 * mean_f * mean_o + C1) * (2 * covariance + C2)
        return np.asarray((alike / ((mean_f**2 + mean_o**2 + C1) * (variances + C2))).mean(axis=(1, 2)), np.float64)


@lru_cache(maxsize=16)
def _window(size: int) -> NDArray[np.float64]:
    place = np.arange(size) - (size - 1) / 2
    weight = np.exp(-0.5 * (place / (SIGMA * size / WINDOW)) ** 2)
    return np.asarray(weight / weight.sum(), np.float64)
