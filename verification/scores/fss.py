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
from verification.sums import E10, Sums, fixed_sum, quotient
from verification.table import Mask, SumRow


@dataclass(frozen=True)
class FractionSums(Sums):
    """Sums over windows: squared difference of the two fractions, and the squares of both, each rounded to 1e-10."""

    difference_e10: int = 0
    worst_e10: int = 0
    windows: int = 0

    @property
    def difference(self) -> float:
        """Return the sum of the squared differences."""
        return self.difference_e10 / E10

    @property
    def worst(self) -> float:
        """Return the sum of the squares of both fractions: the difference of fields that overlap nowhere."""
        return self.worst_e10 / E10


@SCORES.register("fss")
@dataclass(frozen=True)
class FSS(Score[FractionSums]):
    """1 - sum (f - o)^2 / (sum f^2 + sum o^2) of event fractions in squares (Roberts and Lean 2008).

    There is a square around every cell that both sides observed, and a fraction is relative to the observed cells in
    it, so that neither the edge nor a missing radar counts as dry (the library `scores` counts NaN as no event; if all
    cells are observed and the rim is dry, both agree). NaN if neither side has an event.

    Attributes:
        threshold_mmh: an event is a rate at or above it.
        window_cells: edge of the square in cells, odd.
    """

    sums: ClassVar[type[Sums]] = FractionSums
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

    def values(self, table: Float64Field) -> Float64Field:
        return 1.0 - quotient(table[..., 0], table[..., 1])

    @classmethod
    def compare(
        cls,
        family: str,
        lead: ComparedLead,
        thresholds_mmh: Sequence[float],
        windows_km: Sequence[float],
        masks: Sequence[Mask],
    ) -> Iterator[SumRow]:
        """Yield the rows of one lead; what does not depend on model, threshold or window is computed once."""
        edges = [(window_km, window_cells(window_km, lead.pixel_m)) for window_km in windows_km]
        margin = max((edge // 2 for _, edge in edges), default=0)
        for mask in masks:
            seen_HW = lead.masks[mask]
            cells = {edge: _window_sums(_integral(seen_HW, margin), margin, edge) for _, edge in edges}
            for threshold in thresholds_mmh:
                true = _integral(seen_HW & _events(lead.observed_HW, threshold), margin)
                true_by_edge = {edge: _window_sums(true, margin, edge) for _, edge in edges}
                for model, rate_HW in lead.rates.items():
                    events = _integral(seen_HW & _events(rate_HW, threshold), margin)
                    for window_km, edge in edges:
                        event_HW = _window_sums(events, margin, edge)
                        sums = _sparse_sums(event_HW, true_by_edge[edge], cells[edge], seen_HW)
                        yield SumRow(model, lead.lead_minutes, family, sums, threshold, window_km, mask)


def fraction_sums(fraction_N: Float64Field, true_N: Float64Field) -> FractionSums:
    """Return the sums of windows, from the forecast and the observed fraction of each."""
    worst_N = np.square(fraction_N) + np.square(true_N)
    return FractionSums(fixed_sum(np.square(fraction_N - true_N), E10), fixed_sum(worst_N, E10), len(fraction_N))


def window_sums(there_NHW: BoolField, edge: int) -> NDArray[np.int64]:
    """Return the number of true cells in the square around each cell; there are none beyond the edge."""
    sums_NHW = np.empty(there_NHW.shape, np.int64)
    for number, there_HW in enumerate(there_NHW):
        sums_NHW[number] = _window_sums(_integral(there_HW, edge // 2), edge // 2, edge)
    return sums_NHW


def _integral(there_HW: BoolField, margin: int) -> NDArray[np.int32]:
    """Return the number of true cells above and to the left of each corner of a cell, with a margin on every side."""
    height, width = there_HW.shape
    integral = np.zeros((height + 1 + 2 * margin, width + 1 + 2 * margin), np.int32)
    integral[margin + 1 : margin + 1 + height, margin + 1 : margin + 1 + width] = there_HW
    integral.cumsum(axis=0, out=integral)
    return integral.cumsum(axis=1, out=integral)


def _window_sums(integral: NDArray[np.int32], margin: int, edge: int) -> NDArray[np.int32]:
    """Return the sum in the square around each cell, from the integral of a field."""
    height, width = (size - 1 - 2 * margin for size in integral.shape)
    off = margin - edge // 2
    strips = integral[off + edge : off + edge + height] - integral[off : off + height]
    return strips[:, off + edge : off + edge + width] - strips[:, off : off + width]


def _sparse_sums(
    event_HW: NDArray[np.int32], true_HW: NDArray[np.int32], cells_HW: NDArray[np.int32], seen_HW: BoolField
) -> FractionSums:
    """Return the sums of one model; the many windows without an event on either side are only counted."""
    some_HW = seen_HW & ((event_HW | true_HW) > 0)
    cells_N = cells_HW[some_HW]
    sums = fraction_sums(event_HW[some_HW] / cells_N, true_HW[some_HW] / cells_N)
    return FractionSums(sums.difference_e10, sums.worst_e10, int(np.count_nonzero(seen_HW)))


def _events(rate_mmh: FloatField, threshold_mmh: float) -> BoolField:
    with np.errstate(invalid="ignore"):
        return np.asarray(rate_mmh >= threshold_mmh, np.bool_)
