"""From noise and probabilities to rates: strata over the members, and the quantile of the distribution in each."""

from collections.abc import Sequence
from typing import Final

import numpy as np
from scipy.special import ndtr

from core.arrays import Float32Field
from core.distribution import beyond_highest

FAINT: Final = 1e-3
"""Probability of the lowest threshold below which a cell is dry in every member."""


def coupled_mmh(
    noise_MHW: Float32Field, probability_KHW: Float32Field, thresholds_mmh: Sequence[float]
) -> Float32Field:
    """Return the rates of M members in mm/h, whose share at or above a threshold is its probability, within 1 / M.

    Args:
        noise_MHW: standard normal, independent between members.
        probability_KHW: of reaching each threshold, not rising along K; NaN gives NaN.
        thresholds_mmh: ascending.
    """
    rate_mmh_MHW = np.zeros(noise_MHW.shape, np.float32)
    lowest_HW = probability_KHW[0]
    wet_HW = lowest_HW >= FAINT
    exceeded_MN = 1 - stratified(ndtr(noise_MHW[:, wet_HW]))
    rate_mmh_MHW[:, wet_HW] = rate_at(exceeded_MN, probability_KHW[:, wet_HW], thresholds_mmh)
    rate_mmh_MHW[:, np.isnan(lowest_HW)] = np.nan
    return rate_mmh_MHW


def stratified(uniform_MN: Float32Field) -> Float32Field:
    """Return numbers in the same order at each place, one in each of M equal strata.

    Each keeps its place between the next lower and the next higher one, which is uniform given these two: so the result
    is uniform within its stratum, and fields that cross each other stay continuous.

    Args:
        uniform_MN: independent and uniform between 0 and 1.
    """
    members = len(uniform_MN)
    order_MN = np.argsort(uniform_MN, axis=0)
    sorted_MN = np.zeros((members + 2, uniform_MN.shape[1]), np.float32)
    sorted_MN[1:-1] = np.take_along_axis(uniform_MN, order_MN, axis=0)
    sorted_MN[-1] = 1.0
    gap_MN = np.maximum(sorted_MN[2:] - sorted_MN[:-2], np.float32(1e-12))
    place_MN = (sorted_MN[1:-1] - sorted_MN[:-2]) / gap_MN
    place_MN += np.arange(members, dtype=np.float32)[:, None]
    found_MN = np.empty_like(place_MN)
    np.put_along_axis(found_MN, order_MN, place_MN / np.float32(members), axis=0)
    return np.asarray(found_MN, np.float32)


def rate_at(exceeded_MN: Float32Field, probability_KN: Float32Field, thresholds_mmh: Sequence[float]) -> Float32Field:
    """Return the rate that is exceeded with each probability, as `core.distribution.quantile_mmh` has it.

    Args:
        exceeded_MN: probabilities of being exceeded, between 0 and 1.
        probability_KN: of reaching each threshold, not rising along K.
        thresholds_mmh: ascending.
    """
    log_K = np.log(thresholds_mmh).astype(np.float32)
    rate_mmh_MN = np.zeros(exceeded_MN.shape, np.float32)
    bounds_KN = np.concatenate([probability_KN, np.zeros_like(probability_KN[:1])])
    for number, mmh in enumerate(thresholds_mmh):
        high_N, low_N = bounds_KN[number], bounds_KN[number + 1]
        member, cell = np.nonzero((exceeded_MN < high_N) & (exceeded_MN >= low_N))
        if number + 1 < len(log_K):
            share = (high_N[cell] - exceeded_MN[member, cell]) / (high_N[cell] - low_N[cell])
            rate = np.exp(log_K[number] + share * (log_K[number + 1] - log_K[number]))
        else:
            rate = mmh * beyond_highest(high_N[cell], exceeded_MN[member, cell])
        rate_mmh_MN[member, cell] = np.maximum(rate, np.nextafter(np.float32(mmh), np.float32(np.inf)))
    return rate_mmh_MN
