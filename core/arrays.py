"""Array types of the whole project; the shape is part of a variable's name (`rate_mmh_THW`)."""

import numpy as np
from numpy.typing import NDArray

FloatField = NDArray[np.floating]
"""Any floating-point type, for arguments of public functions."""

Float32Field = NDArray[np.float32]
"""Stored and forecast fields, one value per grid cell."""

Float64Field = NDArray[np.float64]
"""Coordinates, and sums that need the precision."""

BoolField = NDArray[np.bool_]
"""Masks, such as the coverage of a field."""
