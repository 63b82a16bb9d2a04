"""Scale and weights of the balanced errors B-MSE and B-MAE: pixel values of rain, weighted by the observed rate."""

from typing import Final

import numpy as np

from core.arrays import Float64Field, FloatField
from core.units import DWD_ZR, pixel_from_dbz

EDGES_MMH: Final = (2.0, 5.0, 10.0, 30.0)
WEIGHTS: Final = (1.0, 2.0, 5.0, 10.0, 30.0)
"""1 below 2 mm/h, 2 from there on, 5 from 5, 10 from 10, 30 from 30 (Shi et al. 2017, arXiv:1706.03458)."""


def pixel_values(rate_mmh: FloatField) -> Float64Field:
    """Return the pixel values 0 to 1 of rain rates, with Z = 256 R^1.42; NaN stays NaN, dry is 0."""
    reflectivity_dbz = DWD_ZR.reflectivity_dbz(np.maximum(np.asarray(rate_mmh, np.float64), 0.0))
    return np.asarray(pixel_from_dbz(reflectivity_dbz), np.float64)


def balance_weight(observed_mmh: FloatField) -> Float64Field:
    """Return the weight of each grid cell by its observed rate, which must not be NaN."""
    return np.asarray(WEIGHTS)[np.digitize(observed_mmh, EDGES_MMH)]
