"""Rates of ensemble members as one byte: logarithmic steps that never cross a threshold of the probabilities."""

from collections.abc import Sequence
from itertools import pairwise
from typing import Final

import numpy as np
from numpy.typing import NDArray

from core.arrays import Float32Field
from core.distribution import TOP_FACTOR

NO_DATA: Final = 255
CODES: Final = 254
"""Codes of wet rates; 0 is dry."""


class RateCodes:
    """Codes of rates between thresholds: each interval has the same number of steps, so that no share changes.

    Attributes:
        table: rate in mm/h of each of the 256 codes, NaN for no data; the geometric middle of a step.
    """

    def __init__(self, thresholds_mmh: Sequence[float]) -> None:
        steps = max(CODES // len(thresholds_mmh), 1)
        bounds_mmh = [*thresholds_mmh, thresholds_mmh[-1] * TOP_FACTOR]
        parts = [np.geomspace(low, high, steps, endpoint=False) for low, high in pairwise(bounds_mmh)]
        self._edges_mmh = np.concatenate(parts).astype(np.float32)
        upper_mmh = np.append(self._edges_mmh[1:], np.float32(bounds_mmh[-1]))
        middle_mmh = np.sqrt(self._edges_mmh * upper_mmh)
        self.table: Float32Field = np.full(256, np.nan, np.float32)
        self.table[0] = 0.0
        self.table[1 : len(middle_mmh) + 1] = middle_mmh

    def encoded(self, rate_mmh: Float32Field) -> NDArray[np.uint8]:
        """Return the codes of rates of any shape; rates below the lowest threshold are dry."""
        codes = np.zeros(rate_mmh.shape, np.uint8)
        wet = rate_mmh >= self._edges_mmh[0]
        codes[wet] = np.searchsorted(self._edges_mmh, rate_mmh[wet], "right")
        codes[np.isnan(rate_mmh)] = NO_DATA
        return codes


def decoded(codes: NDArray[np.uint8], table: Float32Field) -> Float32Field:
    """Return the rates of codes."""
    return np.asarray(table[codes], np.float32)
