"""Brier score of the probability of an event."""

import math
from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from core.arrays import FloatField
from verification.scores.base import SCORES, ProbabilityScore, events_of


@dataclass(frozen=True)
class BrierSums:
    """Squared differences between probability and event, events and cells; sums in doubles."""

    squares: float = 0.0
    events: int = 0
    cells: int = 0

    def __add__(self, other: "BrierSums") -> "BrierSums":
        return BrierSums(self.squares + other.squares, self.events + other.events, self.cells + other.cells)

    def skill(self, reference: "BrierSums") -> float:
        """1 - score / the reference's score on the same cells; NaN where the reference is perfect or empty."""
        if self.cells != reference.cells:
            raise ValueError(f"{self.cells} cells against {reference.cells} of the reference; the same ones were due")
        return 1.0 - self.squares / reference.squares if reference.squares else math.nan

    def of_climatology(self) -> "BrierSums":
        """The score of the events' own frequency, given everywhere: the best of all constant forecasts."""
        share = self.events / self.cells if self.cells else 0.0
        return BrierSums(self.events * (1 - share), self.events, self.cells)


@SCORES.register("brier")
@dataclass(frozen=True)
class Brier(ProbabilityScore[BrierSums]):
    """Mean of (p - o)^2, with o = 1 where the event came (Brier 1950); NaN without a cell."""

    best: ClassVar[float] = 0.0

    def totals(self, forecast: FloatField, observed: FloatField) -> BrierSums:
        probability_N, event_N = events_of(forecast, observed, self.threshold_mmh)
        return BrierSums(
            float(np.square(probability_N - event_N).sum()), int(np.count_nonzero(event_N)), len(probability_N)
        )

    def value(self, totals: BrierSums) -> float:
        return totals.squares / totals.cells if totals.cells else math.nan
