"""Continuous ranked probability score of exceedance probabilities at given rates."""

from dataclasses import dataclass
from itertools import pairwise
from typing import ClassVar, Final

import numpy as np

from core.arrays import Float64Field, FloatField
from verification.scores.base import SCORES, Score, Takes
from verification.sums import NANO, MeanSums, Sums, quotient

THRESHOLDS_MMH: Final = (0.1, 0.2, 0.5, 1.0, 2.0, 5.0, 10.0, 20.0)
HIGHEST_MMH: Final = 60.0
"""Rate from which the exceedance probability is 0; it decreases linearly from the last threshold to there."""


@SCORES.register("crps")
@dataclass(frozen=True)
class CRPS(Score[MeanSums]):
    """Mean over cells of the integral of (P(R >= r) - [r <= observed])^2 over r, in mm/h (Matheson and Winkler 1976).

    The forecast has one more axis than the observation, before the last two: P(R >= threshold) for `thresholds_mmh`. P
    is linear between thresholds, and constant from 0 to the first one.
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
        probability_KN = np.moveaxis(forecast, -3, 0)[:, both].astype(np.float64)
        return MeanSums.of(self._integral_N(probability_KN, observed[both].astype(np.float64)))

    def value(self, totals: MeanSums) -> float:
        return totals.mean

    def values(self, table: Float64Field) -> Float64Field:
        return quotient(table[..., 0], NANO * table[..., 1])

    def _integral_N(self, probability_KN: Float64Field, observed_N: Float64Field) -> Float64Field:
        """Integrate exactly over linear steps; above the highest rate, the whole observed excess counts."""
        edges = (0.0, *self.thresholds_mmh, HIGHEST_MMH)
        known_KN = [probability_KN[0], *probability_KN, np.zeros(len(observed_N))]
        integral_N = np.maximum(observed_N - HIGHEST_MMH, 0.0)
        for (left, right), (left_N, right_N) in zip(pairwise(edges), pairwise(known_KN), strict=True):
            step_N = (right - left) * _mean_square(left_N, right_N)
            wet_N = observed_N > left  # few cells: only there a part of the step is below the observed rate
            step_N[wet_N] = _step(right - left, observed_N[wet_N] - left, left_N[wet_N], right_N[wet_N])
            integral_N += step_N
        return integral_N


def _step(width: float, reached_N: Float64Field, left_N: Float64Field, right_N: Float64Field) -> Float64Field:
    """Integrate over one step between thresholds, part of which is below the observed rate."""
    share_N = np.minimum(reached_N / width, 1.0)
    chance_N = left_N + share_N * (right_N - left_N)
    below_N = share_N * _mean_square(1 - left_N, 1 - chance_N)
    return width * (below_N + (1 - share_N) * _mean_square(chance_N, right_N))


def _mean_square(first_N: Float64Field, last_N: Float64Field) -> Float64Field:
    """Return the mean of the square of a line between two values."""
    return (first_N**2 + first_N * last_N + last_N**2) / 3
