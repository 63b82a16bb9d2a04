"""Probabilities whose sum agrees with the extent of the rain that was just seen, as far as that is trusted."""

from typing import Final

import numpy as np
from numpy.typing import NDArray

Float32Field = NDArray[np.float32]
LARGEST: Final = 4.0
"""Factor by which the newest field's extent may lie below the sum of probabilities and still count as it is."""
STEPS: Final = 25
WIDEST: Final = 3.0
"""Bound of the shift of all log-odds."""


def expected_cells(chance_N: NDArray[np.floating], covered: int, newest: float) -> float:
    """How many cells to expect: a mean of the logarithms of the sum of probabilities and the newest field's extent.

    The first is right where the probabilities are, the second wherever rain keeps its extent.

    Args:
        chance_N: of the cells that are forecast.
        covered: cells at or above the rate in the newest field.
        newest: weight of the second guess, 0 to 1.
    """
    said = float(chance_N.sum(dtype=np.float64))
    return float(said ** (1 - newest) * max(covered, said / LARGEST) ** newest)


def matched(
    probability_LKHW: Float32Field, newest_mmh_HW: Float32Field, rates_mmh: tuple[float, ...], newest: float
) -> Float32Field:
    """Shift the log-odds of each lead and rate by one number, so that the sum is `expected_cells`."""
    seen_HW = np.isfinite(newest_mmh_HW)
    result_LKHW = probability_LKHW.copy()
    for number, mmh in enumerate(rates_mmh):
        covered = int(np.count_nonzero(newest_mmh_HW[seen_HW] >= mmh))
        for chance_HW in result_LKHW[:, number]:
            if chance_HW[seen_HW].sum() > 0:
                chance_HW[...] = _shifted(chance_HW, seen_HW, expected_cells(chance_HW[seen_HW], covered, newest))
    return result_LKHW


def _shifted(chance_HW: Float32Field, seen_HW: NDArray[np.bool_], cells: float) -> Float32Field:
    """By bisection: the sum rises with the shift."""
    bounded_HW = np.clip(chance_HW.astype(np.float64), 1e-7, 1 - 1e-7)
    odds_HW = bounded_HW / (1 - bounded_HW)
    odds_N = odds_HW[seen_HW]
    low, high = -WIDEST, WIDEST
    for _ in range(STEPS):
        middle = (low + high) / 2
        factor = np.exp(middle)
        low, high = (low, middle) if (factor * odds_N / (1 + factor * odds_N)).sum() > cells else (middle, high)
    shifted_HW = np.exp(low) * odds_HW
    return np.asarray(shifted_HW / (1 + shifted_HW), np.float32)
