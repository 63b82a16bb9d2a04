"""The types of arrays, each once; the shape stands in the name of a variable (`rate_mmh_THW`)."""

import numpy as np
from numpy.typing import NDArray

FloatField = NDArray[np.floating]
"""Any floating-point type: what a function of a public interface takes."""

Float32Field = NDArray[np.float32]
"""Stored and forecast fields."""

Float64Field = NDArray[np.float64]
"""Coordinates and sums."""

BoolField = NDArray[np.bool_]
"""Masks."""
