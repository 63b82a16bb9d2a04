"""Reliability of probabilities: how often the event was observed, by the probability that was forecast."""

import math
from dataclasses import dataclass
from typing import ClassVar, Final

import numpy as np

from core.arrays import Float64Field, FloatField
from verification.scores.base import SCORES
from verification.scores.probability import ProbabilityScore, events_of
from verification.sums import PPM, Sums, quotient

BINS: Final = 10
ZEROS: Final = (0,) * BINS


@dataclass(frozen=True)
class BrierParts:
    """The Brier score in the parts of Murphy (1973): brier = reliability - resolution + uncertainty.

    Each probability counts as the mean of its bin, so that the variance within a bin is left out.

    Attributes:
        cells: compared grid cells.
        events: those with the event.
        reliability: mean squared distance between forecast probability and observed frequency; 0 is perfect.
        resolution: mean squared distance of the bins' frequencies from the overall one; large is good.
        uncertainty: the score of the overall frequency as a constant forecast.
    """

    cells: int
    events: int
    reliability: float
    resolution: float
    uncertainty: float

    @property
    def brier(self) -> float:
        """Return the mean squared difference between probability and event; 0 is perfect."""
        return self.reliability - self.resolution + self.uncertainty

    @property
    def skill(self) -> float | None:
        """Return 1 - score / uncertainty; None if the event was observed never or always."""
        return (self.resolution - self.reliability) / self.uncertainty if self.uncertainty else None


@dataclass(frozen=True)
class ReliabilityBins(Sums):
    """Cells, events and the sum of probabilities in ten bins of probability, 0 to 0.1 first; the last holds 1 too."""

    bins: ClassVar[int] = BINS
    cells: tuple[int, ...] = ZEROS
    events: tuple[int, ...] = ZEROS
    probability_ppm: tuple[int, ...] = ZEROS

    def points(self) -> list[tuple[float, float, int]]:
        """Return mean probability, frequency of the event and cells of every bin that holds a cell."""
        rows = zip(self.probability_ppm, self.events, self.cells, strict=True)
        return [(ppm / PPM / cells, events / cells, cells) for ppm, events, cells in rows if cells]

    def largest_gap(self, least_cells: int) -> float:
        """Return the largest distance from the diagonal among bins with more cells than that; NaN without one."""
        gaps = [abs(probability - frequency) for probability, frequency, cells in self.points() if cells > least_cells]
        return max(gaps, default=math.nan)

    def brier_parts(self) -> BrierParts | None:
        """Return the parts of the Brier score; None without a cell."""
        cells, events = sum(self.cells), sum(self.events)
        if not cells:
            return None
        share, bins = events / cells, self.points()
        reliability = sum(n * (probability - frequency) ** 2 for probability, frequency, n in bins) / cells
        resolution = sum(n * (frequency - share) ** 2 for _, frequency, n in bins) / cells
        return BrierParts(cells, events, reliability, resolution, share * (1 - share))


@SCORES.register("reliability")
@dataclass(frozen=True)
class Reliability(ProbabilityScore[ReliabilityBins]):
    """Mean squared distance from the diagonal, by cells (reliability of Murphy 1973, ten bins); NaN without a cell."""

    sums: ClassVar[type[Sums]] = ReliabilityBins
    best: ClassVar[float] = 0.0
    title: ClassVar[str | None] = "Reliability of probabilities, mean squared distance from the diagonal"

    def totals(self, forecast: FloatField, observed: FloatField) -> ReliabilityBins:
        probability_N, event_N = events_of(forecast, observed, self.threshold_mmh)
        bin_N = np.minimum((probability_N * BINS).astype(np.int64), BINS - 1)
        cells, events = np.bincount(bin_N, minlength=BINS), np.bincount(bin_N[event_N], minlength=BINS)
        ppm_N = np.rint(probability_N * PPM)
        ppm = np.bincount(bin_N, ppm_N, minlength=BINS)  # whole numbers in doubles: exact up to 9e9 cells
        return ReliabilityBins(*(tuple(map(int, column)) for column in (cells, events, ppm)))

    def value(self, totals: ReliabilityBins) -> float:
        parts = totals.brier_parts()
        return parts.reliability if parts else math.nan

    def values(self, table: Float64Field) -> Float64Field:
        cells, events, ppm = np.moveaxis(table.reshape(*table.shape[:-1], 3, BINS), -2, 0)
        gap = quotient(ppm / PPM - events, cells)
        return quotient(np.nansum(cells * np.square(gap), axis=-1), cells.sum(axis=-1))
