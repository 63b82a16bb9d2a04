"""Area under the relative operating characteristic."""

import math
from dataclasses import dataclass
from itertools import accumulate, pairwise
from typing import ClassVar, Final

import numpy as np

from core.arrays import FloatField
from verification.scores.base import SCORES
from verification.scores.probability import ProbabilityScore, events_of
from verification.sums import Sums

EDGES: Final = (
    *(0.0, 0.001, 0.002, 0.005, 0.01, 0.02, 0.03, 0.05, 0.075),
    *(round(0.05 * number, 2) for number in range(2, 20)),
    0.975,
)
"""Probabilities at which a warning is considered; many are small, since heavy rain is rare."""

NO_CELLS: Final = (0,) * len(EDGES)


@dataclass(frozen=True)
class RocBins(Sums):
    """Grid cells and events by forecast probability: from each of `EDGES` to the next one; the last ends with 1."""

    bins: ClassVar[int] = len(EDGES)
    cells: tuple[int, ...] = NO_CELLS
    events: tuple[int, ...] = NO_CELLS

    def curve(self) -> list[tuple[float, float]]:
        """Return (false-alarm rate, hit rate) of a warning from each edge up, from (0, 0) to (1, 1).

        The list is empty where all cells have the event, or none.
        """
        events, others = sum(self.events), sum(self.cells) - sum(self.events)
        if not events or not others:
            return []
        warned, hits = accumulate(reversed(self.cells)), accumulate(reversed(self.events))
        return [(0.0, 0.0), *(((n - hit) / others, hit / events) for n, hit in zip(warned, hits, strict=True))]


@SCORES.register("roc-area")
@dataclass(frozen=True)
class RocArea(ProbabilityScore[RocBins]):
    """Area under hit rate over false-alarm rate, by trapezoids (Mason 1982); 0.5 is no discrimination, 1 is perfect.

    NaN where all cells have the event, or none.
    """

    sums: ClassVar[type[Sums]] = RocBins
    operational: ClassVar[bool] = False
    title: ClassVar[str | None] = "Area under the relative operating characteristic"

    def totals(self, forecast: FloatField, observed: FloatField) -> RocBins:
        probability_N, event_N = events_of(forecast, observed, self.threshold_mmh)
        bin_N = np.searchsorted(EDGES, probability_N, side="right") - 1
        columns = (np.bincount(chosen, minlength=len(EDGES)) for chosen in (bin_N, bin_N[event_N]))
        return RocBins(*(tuple(map(int, column)) for column in columns))

    def value(self, totals: RocBins) -> float:
        steps = list(pairwise(totals.curve()))
        return sum((x1 - x0) * (y0 + y1) / 2 for (x0, y0), (x1, y1) in steps) if steps else math.nan
