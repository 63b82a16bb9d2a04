"""Continuous ranked probability score of exceedance probabilities at given rates."""

from dataclasses import dataclass
from itertools import pairwise
from typing import ClassVar, Final, Literal

import numpy as np
from numpy.typing import NDArray

from verification.counts import FloatField
from verification.scores.base import SCORES, Score
from verification.scores.rate_mae import CellSum

THRESHOLDS_MMH: Final = (0.1, 0.2, 0.5, 1.0, 2.0, 5.0, 10.0, 20.0)
HIGHEST_MMH: Final = 60.0
"""Where the probability of more is taken for 0; it falls evenly from the last threshold to there."""
PARTS: Final = 8
"""Each step between two thresholds is cut into so many, since the observed rate lies within one."""


@SCORES.register("crps")
@dataclass(frozen=True)
class CRPS(Score[CellSum]):
    """Mean over cells of the integral of (P(R >= r) - [r <= observed])^2 over r, in mm/h (Matheson and Winkler 1976).

    The forecast has one axis more than the observation, before the last two: P(R >= threshold) for `thresholds_mmh`,
    straight lines between them, with P = P(first threshold) from 0 to that.
    """

    takes: ClassVar[Literal["rain", "pictures", "probabilities"]] = "probabilities"
    best: ClassVar[float] = 0.0
    thresholds_mmh: tuple[float, ...] = THRESHOLDS_MMH

    def totals(self, forecast: FloatField, observed: FloatField) -> CellSum:
        due = (*observed.shape[:-2], len(self.thresholds_mmh), *observed.shape[-2:])
        if forecast.shape != due:
            raise ValueError(f"forecast of {forecast.shape} against observations of {observed.shape}; {due} was due")
        both = np.isfinite(observed) & np.isfinite(forecast).all(axis=-3)
        probability_NK = np.moveaxis(forecast, -3, -1)[both].astype(np.float64)
        integral_N = self._integral_N(probability_NK, observed[both].astype(np.float64))
        return CellSum(float(integral_N.sum()), len(integral_N))

    def value(self, totals: CellSum) -> float:
        return totals.mean

    def _integral_N(self, probability_NK: NDArray[np.float64], observed_N: NDArray[np.float64]) -> NDArray[np.float64]:
        """By the middle of many short steps; beyond the highest rate the whole of what was observed counts."""
        edges = np.array([0.0, *self.thresholds_mmh, HIGHEST_MMH])
        known_NK = np.hstack([probability_NK[:, :1], probability_NK, np.zeros((len(probability_NK), 1))])
        integral_N = np.maximum(observed_N - HIGHEST_MMH, 0.0)
        for number, (left, right) in enumerate(pairwise(edges)):
            width = (right - left) / PARTS
            for part in range(PARTS):
                along = (part + 0.5) / PARTS
                chance_N = (1 - along) * known_NK[:, number] + along * known_NK[:, number + 1]
                reached_N = np.clip((observed_N - left) / width - part, 0.0, 1.0)  # share of this step below the rate
                integral_N += width * (reached_N * (1 - chance_N) ** 2 + (1 - reached_N) * chance_N**2)
        return integral_N
