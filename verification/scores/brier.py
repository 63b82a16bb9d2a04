"""Brier score of the probability of an event."""

import math
from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from core.arrays import BoolField, Float64Field, FloatField
from verification.scores.base import SCORES
from verification.scores.probability import ProbabilityScore, events_of
from verification.sums import NANO, Sums, fixed_sum, quotient


@dataclass(frozen=True)
class BrierSums(Sums):
    """Squared differences between probability and event, each rounded to 1e-9, events and grid cells."""

    squares_nano: int = 0
    events: int = 0
    cells: int = 0

    @property
    def squares(self) -> float:
        """Return the sum of the squared differences."""
        return self.squares_nano / NANO

    def skill(self, reference: "BrierSums") -> float:
        """Return 1 - score / the reference's score on the same cells; NaN where the reference is perfect or empty."""
        if self.cells != reference.cells:
            raise ValueError(f"expected the same cells as the reference, got {self.cells} against {reference.cells}")
        return 1.0 - self.squares_nano / reference.squares_nano if reference.squares_nano else math.nan

    def of_climatology(self) -> "BrierSums":
        """Return the sums of the events' own frequency, forecast everywhere: the best of all constant forecasts."""
        share = self.events / self.cells if self.cells else 0.0
        return BrierSums(round(self.events * (1 - share) * NANO), self.events, self.cells)


@SCORES.register("brier")
@dataclass(frozen=True)
class Brier(ProbabilityScore[BrierSums]):
    """Mean of (p - o)^2, with o = 1 where the event was observed (Brier 1950); NaN without a cell."""

    sums: ClassVar[type[Sums]] = BrierSums
    best: ClassVar[float] = 0.0
    title: ClassVar[str | None] = "Brier score"

    def totals(self, forecast: FloatField, observed: FloatField) -> BrierSums:
        return brier_sums(*events_of(forecast, observed, self.threshold_mmh))

    def value(self, totals: BrierSums) -> float:
        return totals.squares / totals.cells if totals.cells else math.nan

    def values(self, table: Float64Field) -> Float64Field:
        return quotient(table[..., 0], NANO * table[..., 2])


def brier_sums(probability_N: Float64Field, event_N: BoolField) -> BrierSums:
    """Return the sums of grid cells with a probability and whether the event was observed."""
    squares_nano = fixed_sum(np.square(probability_N - event_N), NANO)
    return BrierSums(squares_nano, int(np.count_nonzero(event_N)), len(probability_N))
