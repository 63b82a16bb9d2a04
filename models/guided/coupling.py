"""From noise and probabilities to rates: ranks over the members, and the quantile of the distribution at each rank."""

from collections.abc import Sequence
from typing import Final

import numpy as np
from scipy.special import ndtr

from core.arrays import Float32Field
from core.distribution import TOP_FACTOR

FAINT: Final = 1e-3
"""Probability of the lowest threshold below which a cell is dry in every member."""


def coupled_mmh(
    order_MHW: Float32Field, within_MHW: Float32Field, probability_KHW: Float32Field, thresholds_mmh: Sequence[float]
) -> Float32Field:
    """Return the rates of M members in mm/h, whose share at or above a threshold is its probability, within 1 / M.

    Args:
        order_MHW: noise that ranks the members at each cell.
        within_MHW: standard normal noise, the place within the stratum of a rank.
        probability_KHW: of reaching each threshold, not rising along K; NaN gives NaN.
        thresholds_mmh: ascending.
    """
    rate_mmh_MHW = np.zeros(order_MHW.shape, np.float32)
    lowest_HW = probability_KHW[0]
    wet_HW = lowest_HW >= FAINT
    probability_KN = probability_KHW[:, wet_HW]
    place_MN = ndtr(within_MHW[:, wet_HW])
    place_MN += ranks(order_MHW[:, wet_HW])
    exceeded_MN = np.float32(1) - place_MN / np.float32(len(order_MHW))
    rate_mmh_MHW[:, wet_HW] = rate_at(exceeded_MN, probability_KN, thresholds_mmh)
    rate_mmh_MHW[:, np.isnan(lowest_HW)] = np.nan
    return rate_mmh_MHW


def ranks(order_MN: Float32Field) -> np.ndarray[tuple[int, ...], np.dtype[np.uint8]]:
    """Return the rank of each member at each place, 0 for the lowest; equal ones in the order of the members."""
    rank_MN = np.zeros(order_MN.shape, np.uint8 if len(order_MN) <= 256 else np.uint16)
    for later in range(len(order_MN)):
        for earlier in range(later):
            above_N = order_MN[later] >= order_MN[earlier]
            rank_MN[later] += above_N
            rank_MN[earlier] += ~above_N
    return rank_MN


def rate_at(exceeded_MN: Float32Field, probability_KN: Float32Field, thresholds_mmh: Sequence[float]) -> Float32Field:
    """Return the rate that is exceeded with each probability, as `core.distribution.quantile_mmh` has it.

    Args:
        exceeded_MN: probabilities of being exceeded, between 0 and 1.
        probability_KN: of reaching each threshold, not rising along K.
        thresholds_mmh: ascending.
    """
    log_K = np.log([*thresholds_mmh, thresholds_mmh[-1] * TOP_FACTOR]).astype(np.float32)
    rate_mmh_MN = np.zeros(exceeded_MN.shape, np.float32)
    bounds_KN = np.concatenate([probability_KN, np.zeros_like(probability_KN[:1])])
    for number, mmh in enumerate(thresholds_mmh):
        high_N, low_N = bounds_KN[number], bounds_KN[number + 1]
        member, cell = np.nonzero((exceeded_MN < high_N) & (exceeded_MN >= low_N))
        share = (high_N[cell] - exceeded_MN[member, cell]) / (high_N[cell] - low_N[cell])
        rate = np.exp(log_K[number] + share * (log_K[number + 1] - log_K[number]))
        rate_mmh_MN[member, cell] = np.maximum(rate, np.nextafter(np.float32(mmh), np.float32(np.inf)))
    return rate_mmh_MN
