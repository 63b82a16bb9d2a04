"""Fractions skill score."""

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import ClassVar

import numpy as np
from numpy.typing import NDArray

from core.arrays import BoolField, Float64Field, FloatField
from verification.lead import ComparedLead
from verification.scores.base import SCORES, Score, window_cells
from verification.scores.frames import as_frames
from verification.sums import E10, Sums, fixed_sum
from verification.table import Mask, SumRow


@dataclass(frozen=True)
class FractionSums(Sums):
    """Over all windows: squared difference of the two fractions, and the squares of both, each rounded to 1e-10."""

    difference_e10: int = 0
    worst_e10: int = 0
    windows: int = 0

    @property
    def difference(self) -> float:
        """Sum of the squared differences."""
        return self.difference_e10 / E10

    @property
    def worst(self) -> float:
        """Sum of the squares of both fractions: the difference of forecasts that overlap nowhere."""
        return self.worst_e10 / E10


@SCORES.register("fss")
@dataclass(frozen=True)
class FSS(Score[FractionSums]):
    """1 - sum (f - o)^2 / (sum f^2 + sum o^2) of event fractions in squares (Roberts and Lean 2008).

    There is a square around every cell that both sides observed, and a fraction is one of the observed cells in it, so
    that neither the edge nor a radar that is missing counts as dry (the library `scores` counts NaN as no event; where
    all is observed and the rim is dry, both agree). NaN where neither side has an event.

    Attributes:
        threshold_mmh: an event is a rate at or above it.
        window_cells: edge of the square in cells, odd.
    """

    sums: ClassVar[type[Sums]] = FractionSums
    masks: ClassVar[tuple[Mask, ...]] = ("all",)  # a second mask would double most of the time that scoring takes
    title: ClassVar[str | None] = "Fractions skill score"
    threshold_mmh: float = 1.0
    window_cells: int = 5

    def __post_init__(self) -> None:
        if self.window_cells < 1 or self.window_cells % 2 == 0:
            raise ValueError(f"expected a window of an odd number of cells, got {self.window_cells}")

    @classmethod
    def of_km(cls, threshold_mmh: float, window_km: float, pixel_m: float) -> "FSS":
        """Return the score for the odd number of grid cells that is nearest to a window in km, at least 1."""
        return cls(threshold_mmh, window_cells(window_km, pixel_m))

    def totals(self, forecast: FloatField, observed: FloatField) -> FractionSums:
        forecast_NHW, observed_NHW = as_frames(forecast, observed)
        seen_NHW = np.isfinite(forecast_NHW) & np.isfinite(observed_NHW)
        events = [seen_NHW & _events(rate_NHW, self.threshold_mmh) for rate_NHW in (forecast_NHW, observed_NHW)]
        cells_N = window_sums(seen_NHW, self.window_cells)[seen_NHW]
        fraction_N, true_N = (window_sums(event, self.window_cells)[seen_NHW] / cells_N for event in events)
        return fraction_sums(fraction_N, true_N)

    def value(self, totals: FractionSums) -> float:
        return 1.0 - totals.difference_e10 / totals.worst_e10 if totals.worst_e10 else math.nan

    @classmethod
    def compare(
        cls, family: str, lead: ComparedLead, thresholds_mmh: Sequence[float], windows_km: Sequence[float]
    ) -> Iterator[SumRow]:
        """Yield the rows of one lead; all models share the window sums of the mask and of the observed events."""
        seen_HW = lead.masks["all"]
        for window_km in windows_km:
            edge = window_cells(window_km, lead.pixel_m)
            cells_N = _sums_N(seen_HW, seen_HW, edge)
            for threshold in thresholds_mmh:
                true_N = _sums_N(seen_HW, _events(lead.observed_HW, threshold), edge) / cells_N
                for model, rate_HW in lead.rates.items():
                    fraction_N = _sums_N(seen_HW, _events(rate_HW, threshold), edge) / cells_N
                    sums = fraction_sums(fraction_N, true_N)
                    yield SumRow(model, lead.lead_minutes, family, sums, threshold, window_km)


def fraction_sums(fraction_N: Float64Field, true_N: Float64Field) -> FractionSums:
    """Return what windows add, from the forecast's and the observed fraction of each."""
    worst_N = np.square(fraction_N) + np.square(true_N)
    return FractionSums(fixed_sum(np.square(fraction_N - true_N), E10), fixed_sum(worst_N, E10), len(fraction_N))


def window_sums(there_NHW: BoolField, edge: int) -> NDArray[np.int64]:
    """Return how many cells are true in the square around each cell; beyond the edge there are none."""
    half = edge // 2
    padded_NHW = np.pad(there_NHW, ((0, 0), (half + 1, half), (half + 1, half)))
    sums_NHW = padded_NHW.cumsum(axis=1, dtype=np.int64).cumsum(axis=2)
    rows_NHW = sums_NHW[:, edge:] - sums_NHW[:, :-edge]
    return np.asarray(rows_NHW[:, :, edge:] - rows_NHW[:, :, :-edge], np.int64)


def _events(rate_mmh: FloatField, threshold_mmh: float) -> BoolField:
    with np.errstate(invalid="ignore"):
        return np.asarray(rate_mmh >= threshold_mmh, np.bool_)


def _sums_N(seen_HW: BoolField, event_HW: BoolField, edge: int) -> NDArray[np.int64]:
    """Return the number of seen events in the square around each seen cell."""
    return np.asarray(window_sums((seen_HW & event_HW)[None], edge)[0][seen_HW], np.int64)
