"""The distribution of a rain rate from its exceedance probabilities: dry with the rest of the probability."""

from collections.abc import Sequence
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from core.arrays import Float64Field
from core.errors import InputError, shown

TOP_FACTOR: Final = 3.0
"""Rate, in units of the highest threshold, that is never exceeded: with thresholds up to 20 mm/h, 60 mm/h."""
SAME: Final = 1e-6
"""Difference of two probabilities below which they are equal: float32 and packed files are exact to less."""


def quantile_mmh(probability_K: NDArray[Any], thresholds_mmh: Sequence[float], q: float) -> Float64Field:
    """Return the rate in mm/h that is exceeded with probability 1 - q.

    It is 0 where the lowest threshold is reached with a probability of at most 1 - q. Between two thresholds the
    probability falls linearly with the logarithm of the rate, and beyond the highest one to 0 at `TOP_FACTOR` times it.
    A quantile never falls with q.

    Args:
        probability_K: of reaching each threshold, (K, ...); a rise along K is levelled. NaN stays NaN.
        thresholds_mmh: positive, ascending.
        q: between 0 and 1, both exclusive.

    Raises:
        InputError: no ascending positive thresholds, another number of probabilities, or q out of range.
    """
    edges_K = np.asarray(thresholds_mmh, np.float64)
    if edges_K.ndim != 1 or not edges_K.size or edges_K[0] <= 0 or (np.diff(edges_K) <= 0).any():
        raise InputError(f"thresholds_mmh: expected positive ascending rates, got {shown(thresholds_mmh)}")
    if len(probability_K) != edges_K.size:
        raise InputError(f"probability_K: expected {edges_K.size} probabilities, got {len(probability_K)}")
    if not 0 < q < 1:
        raise InputError(f"q: expected a number between 0 and 1, got {shown(q)}")
    level = 1.0 - q
    falling_K = np.minimum.accumulate(np.asarray(probability_K, np.float64), axis=0)
    above_K = falling_K > level + SAME
    count = above_K.sum(axis=0)  # thresholds that are exceeded with more than `level`
    lower = np.maximum(count - 1, 0)
    padded_K = np.concatenate([falling_K, np.zeros_like(falling_K[:1])])
    high = np.take_along_axis(padded_K, lower[None], axis=0)[0]
    low = np.take_along_axis(padded_K, lower[None] + 1, axis=0)[0]
    log_K = np.log([*edges_K, edges_K[-1] * TOP_FACTOR])
    share = np.clip((high - level) / np.maximum(high - low, SAME), 0.0, 1.0)
    rate_mmh = np.exp(log_K[lower] + share * (log_K[lower + 1] - log_K[lower]))
    missing = np.isnan(falling_K).any(axis=0)
    return np.where(missing, np.nan, np.where(count == 0, 0.0, rate_mmh))
