"""The distribution of a rain rate from its exceedance probabilities: dry with the rest of the probability."""

from collections.abc import Sequence
from itertools import pairwise
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from core.arrays import Float64Field, FloatField
from core.errors import InputError, shown

TAIL_EXPONENT: Final = 2.7
"""Beyond the highest threshold the odds of exceeding a rate fall with this power of it: decision 0099."""
TOP_FACTOR: Final = 9.0
"""Rate, in units of the highest threshold, that is never exceeded: with thresholds up to 20 mm/h, 180 mm/h."""
SAME: Final = 1e-6
"""Difference of two probabilities below which they are equal: float32 and packed files are exact to less."""


def quantile_mmh(probability_K: NDArray[Any], thresholds_mmh: Sequence[float], q: float) -> Float64Field:
    """Return the rate in mm/h that is exceeded with probability 1 - q, as `quantiles_mmh` has it."""
    return np.asarray(quantiles_mmh(probability_K, thresholds_mmh, (q,))[0])


def quantiles_mmh(
    probability_K: NDArray[Any], thresholds_mmh: Sequence[float], quantiles: Sequence[float]
) -> Float64Field:
    """Return the rates in mm/h that are exceeded with probability 1 - q, (Q, ...).

    A quantile is 0 where the lowest threshold is reached with a probability of at most 1 - q. Between two thresholds
    the probability falls linearly with the logarithm of the rate, and beyond the highest one as `beyond_highest` has
    it. A quantile never falls with q.

    Args:
        probability_K: of reaching each threshold, (K, ...); a rise along K is levelled. NaN stays NaN.
        thresholds_mmh: positive, ascending.
        quantiles: each between 0 and 1, both exclusive.

    Raises:
        InputError: no ascending positive thresholds, another number of probabilities, or a quantile out of range.
    """
    edges = _checked(probability_K, tuple(thresholds_mmh), quantiles)
    falling_K = np.minimum.accumulate(np.asarray(probability_K, np.float64), axis=0)
    padded_K = np.concatenate([falling_K, np.zeros_like(falling_K[:1])])
    log_K = np.log([*edges, edges[-1]])
    found = np.empty((len(quantiles), *falling_K.shape[1:]))
    for index, q in enumerate(quantiles):
        level = 1.0 - q
        count = (falling_K > level + SAME).sum(axis=0)  # thresholds that are exceeded with more than `level`
        lower = np.maximum(count - 1, 0)
        high, low = (np.take_along_axis(padded_K, lower[None] + step, axis=0)[0] for step in (0, 1))
        share = np.clip((high - level) / np.maximum(high - low, SAME), 0.0, 1.0)
        below, above = log_K[lower], log_K[lower + 1]
        inner = np.exp(below + share * (above - below))
        outer = edges[-1] * beyond_highest(falling_K[-1], level)
        found[index] = np.where(count == 0, 0.0, np.where(count == len(edges), outer, inner))
    found[:, np.isnan(padded_K).any(axis=0)] = np.nan
    return found


def beyond_highest(probability: FloatField, level: FloatField | float) -> FloatField:
    """Return the rate, in units of the highest threshold, that is exceeded with probability `level`.

    The odds p / (1 - p) of exceeding a rate fall with its power `TAIL_EXPONENT`: a log-logistic tail, which is a power
    law where the highest threshold is unlikely, and has its median above it where it is nearly certain. At most
    `TOP_FACTOR`.

    Args:
        probability: of reaching the highest threshold.
        level: at most as high.
    """
    ratio = np.exp((_log_odds(probability) - _log_odds(level)) / TAIL_EXPONENT)
    return np.clip(ratio, 1.0, TOP_FACTOR)


def _log_odds(probability: FloatField | float) -> FloatField:
    bounded = np.clip(np.asarray(probability), SAME, 1 - SAME)
    return np.asarray(np.log(bounded) - np.log1p(-bounded))


def _checked(
    probability_K: NDArray[Any], thresholds_mmh: tuple[float, ...], quantiles: Sequence[float]
) -> tuple[float, ...]:
    """Return the thresholds, if they and the quantiles make a distribution.

    Raises:
        InputError: they do not.
    """
    if not thresholds_mmh or any(low >= high for low, high in pairwise((0.0, *thresholds_mmh))):
        raise InputError(f"thresholds_mmh: expected positive ascending rates, got {shown(thresholds_mmh)}")
    if len(probability_K) != len(thresholds_mmh):
        raise InputError(f"probability_K: expected {len(thresholds_mmh)} probabilities, got {len(probability_K)}")
    for q in quantiles:
        if not 0 < q < 1:
            raise InputError(f"q: expected a number between 0 and 1, got {shown(q)}")
    return thresholds_mmh
