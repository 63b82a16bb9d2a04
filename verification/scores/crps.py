"""Continuous ranked probability score of exceedance probabilities at given rates."""

from dataclasses import dataclass
from itertools import pairwise
from typing import ClassVar, Final

import numpy as np
from numpy.typing import NDArray

from core.arrays import FloatField
from verification.scores.base import SCORES, Score, Takes
from verification.sums import MeanSums, Sums

THRESHOLDS_MMH: Final = (0.1, 0.2, 0.5, 1.0, 2.0, 5.0, 10.0, 20.0)
HIGHEST_MMH: Final = 60.0
"""Where the probability of more is taken for 0; it falls evenly from the last threshold to there."""


@SCORES.register("crps")
@dataclass(frozen=True)
class CRPS(Score[MeanSums]):
    """Mean over cells of the integral of (P(R >= r) - [r <= observed])^2 over r, in mm/h (Matheson and Winkler 1976).

    The forecast has one axis more than the observation, before the last two: P(R >= threshold) for `thresholds_mmh`,
    straight lines between them, with P = P(first threshold) from 0 to that.
    """

    sums: ClassVar[type[Sums]] = MeanSums
    takes: ClassVar[Takes] = "probabilities"
    best: ClassVar[float] = 0.0
    title: ClassVar[str | None] = "Continuous ranked probability score in mm/h"
    thresholds_mmh: tuple[float, ...] = THRESHOLDS_MMH

    def totals(self, forecast: FloatField, observed: FloatField) -> MeanSums:
        expected = (*observed.shape[:-2], len(self.thresholds_mmh), *observed.shape[-2:])
        if forecast.shape != expected:
            raise ValueError(
                f"forecast of {forecast.shape} against observations of {observed.shape}; expected one of {expected}"
            )
        both = np.isfinite(observed) & np.isfinite(forecast).all(axis=-3)
        probability_NK = np.moveaxis(forecast, -3, -1)[both].astype(np.float64)
        integral_N = self._integral_N(probability_NK, observed[both].astype(np.float64))
        return MeanSums.of(integral_N)

    def value(self, totals: MeanSums) -> float:
        return totals.mean

    def _integral_N(self, probability_NK: NDArray[np.float64], observed_N: NDArray[np.float64]) -> NDArray[np.float64]:
        """Exact for straight lines; beyond the highest rate the whole of what was observed counts."""
        edges = np.array([0.0, *self.thresholds_mmh, HIGHEST_MMH])
        known_NK = np.hstack([probability_NK[:, :1], probability_NK, np.zeros((len(probability_NK), 1))])
        integral_N = np.maximum(observed_N - HIGHEST_MMH, 0.0)
        for (left, right), (left_N, right_N) in zip(pairwise(edges), pairwise(known_NK.T), strict=True):
            width = right - left
            reached_N = np.clip((observed_N - left) / width, 0.0, 1.0)  # share of this step below the observed rate
            chance_N = left_N + reached_N * (right_N - left_N)
            below_N = reached_N * _mean_square(1 - left_N, 1 - chance_N)
            integral_N += width * (below_N + (1 - reached_N) * _mean_square(chance_N, right_N))
        return integral_N


def _mean_square(first_N: NDArray[np.float64], last_N: NDArray[np.float64]) -> NDArray[np.float64]:
    """Mean of the square of a line between two values."""
    return (first_N**2 + first_N * last_N + last_N**2) / 3
