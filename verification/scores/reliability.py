"""Whether events come as often as was said."""

import math
from dataclasses import dataclass
from typing import ClassVar, Final

import numpy as np
from numpy.typing import NDArray

from core.arrays import FloatField
from verification.scores.base import SCORES, ProbabilityScore, events_of

BINS: Final = 10


@dataclass(frozen=True)
class ReliabilityBins:
    """Cells, events and the sum of probabilities in ten bins of probability, 0 to 0.1 first."""

    cells: tuple[int, ...] = (0,) * BINS
    events: tuple[int, ...] = (0,) * BINS
    said: tuple[float, ...] = (0.0,) * BINS

    def __add__(self, other: "ReliabilityBins") -> "ReliabilityBins":
        return ReliabilityBins(
            tuple(np.add(self.cells, other.cells).tolist()),
            tuple(np.add(self.events, other.events).tolist()),
            tuple(np.add(self.said, other.said).tolist()),
        )

    def points(self) -> list[tuple[float, float, int]]:
        """Mean probability, frequency of the event and cells of every bin that holds a cell."""
        rows = zip(self.said, self.events, self.cells, strict=True)
        return [(said / cells, events / cells, cells) for said, events, cells in rows if cells]

    def largest_gap(self, least_cells: int) -> float:
        """Largest distance from the diagonal among bins with more cells than that; NaN without one."""
        gaps = [abs(said - seen) for said, seen, cells in self.points() if cells > least_cells]
        return max(gaps, default=math.nan)


@SCORES.register("reliability")
@dataclass(frozen=True)
class Reliability(ProbabilityScore[ReliabilityBins]):
    """Mean squared distance from the diagonal, by cells (reliability of Murphy 1973, ten bins); NaN without a cell."""

    best: ClassVar[float] = 0.0

    def totals(self, forecast: FloatField, observed: FloatField) -> ReliabilityBins:
        probability_N, event_N = events_of(forecast, observed, self.threshold_mmh)
        bin_N, cells, events = binned(probability_N, event_N, BINS)
        said = np.bincount(bin_N, probability_N, minlength=BINS)
        return ReliabilityBins(tuple(cells.tolist()), tuple(events.tolist()), tuple(said.tolist()))

    def value(self, totals: ReliabilityBins) -> float:
        cells = sum(totals.cells)
        return sum(n * (said - seen) ** 2 for said, seen, n in totals.points()) / cells if cells else math.nan


def binned(
    probability_N: NDArray[np.float64], event_N: NDArray[np.bool_], bins: int
) -> tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.int64]]:
    """The bin of each probability (the last holds 1 too), and how many cells and how many events each bin has."""
    bin_N = np.minimum((probability_N * bins).astype(np.int64), bins - 1)
    return bin_N, np.bincount(bin_N, minlength=bins), np.bincount(bin_N[event_N], minlength=bins)
