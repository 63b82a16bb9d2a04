"""How much a cell weighs in the balanced errors, by the rain that was observed."""

from typing import Final

import numpy as np
from numpy.typing import NDArray

from core.arrays import FloatField

EDGES_MMH: Final = (2.0, 5.0, 10.0, 30.0)
WEIGHTS: Final = (1.0, 2.0, 5.0, 10.0, 30.0)
"""1 below 2 mm/h, 2 from there on, 5 from 5, 10 from 10, 30 from 30 (Shi et al. 2017, arXiv:1706.03458)."""


def rain_weight(observed_mmh: FloatField) -> NDArray[np.float64]:
    """The weight of each cell; NaN is not a rate that this takes."""
    return np.asarray(WEIGHTS)[np.digitize(observed_mmh, EDGES_MMH)]
