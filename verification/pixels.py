"""Rain as pixel values 0 to 1, the paper's scale of radar pictures (Germany), for scores that are stated on it."""

from typing import Final

import numpy as np

from core.arrays import FloatField
from core.units import DWD_ZR

LOWER_DBZ: Final = -10.0
UPPER_DBZ: Final = 60.0


def pixel_values(rate_mmh: FloatField) -> FloatField:
    """P = clip((dBZ + 10) / 70, 0, 1) with Z = 256 R^1.42 (MS-RNN paper, section 5.1); NaN stays NaN, dry is 0."""
    reflectivity_dbz = DWD_ZR.reflectivity_dbz(np.maximum(np.asarray(rate_mmh, np.float64), 0.0))
    return np.asarray(np.clip((reflectivity_dbz - LOWER_DBZ) / (UPPER_DBZ - LOWER_DBZ), 0.0, 1.0), np.float64)
