"""Fractions skill score."""

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from core.arrays import FloatField
from verification.frames import as_frames
from verification.scores.base import SCORES, Score


@dataclass(frozen=True)
class FractionSums:
    """Over all windows: squared difference of the two fractions, and the squares of both; sums in doubles."""

    difference: float = 0.0
    worst: float = 0.0
    windows: int = 0

    def __add__(self, other: "FractionSums") -> "FractionSums":
        return FractionSums(self.difference + other.difference, self.worst + other.worst, self.windows + other.windows)


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

    threshold_mmh: float = 1.0
    window_cells: int = 5

    def __post_init__(self) -> None:
        if self.window_cells < 1 or self.window_cells % 2 == 0:
            raise ValueError(f"a window of {self.window_cells} cells; an odd number was due")

    @classmethod
    def of_km(cls, threshold_mmh: float, window_km: float, pixel_m: float) -> "FSS":
        """The odd number of cells that comes nearest to a window in km, at least 1."""
        return cls(threshold_mmh, 1 + 2 * max(round((window_km * 1000 / pixel_m - 1) / 2), 0))

    def totals(self, forecast: FloatField, observed: FloatField) -> FractionSums:
        forecast_NHW, observed_NHW = as_frames(forecast, observed)
        seen_NHW = np.isfinite(forecast_NHW) & np.isfinite(observed_NHW)
        with np.errstate(invalid="ignore"):
            events = [seen_NHW & (rate_NHW >= self.threshold_mmh) for rate_NHW in (forecast_NHW, observed_NHW)]
        cells_N = window_sums(seen_NHW, self.window_cells)[seen_NHW]
        fraction_N, true_N = (window_sums(event, self.window_cells)[seen_NHW] / cells_N for event in events)
        return fraction_sums(fraction_N, true_N)

    def value(self, totals: FractionSums) -> float:
        return 1.0 - totals.difference / totals.worst if totals.worst else math.nan


def fraction_sums(fraction_N: NDArray[np.float64], true_N: NDArray[np.float64]) -> FractionSums:
    """What windows add, from the forecast's and the observed fraction of each."""
    return FractionSums(
        float(np.square(fraction_N - true_N).sum()),
        float(np.square(fraction_N).sum() + np.square(true_N).sum()),
        len(fraction_N),
    )


def window_sums(there_NHW: NDArray[np.bool_], edge: int) -> NDArray[np.int64]:
    """How many cells are true in the square around each cell; beyond the edge there are none."""
    half = edge // 2
    padded_NHW = np.pad(there_NHW, ((0, 0), (half + 1, half), (half + 1, half)))
    sums_NHW = padded_NHW.cumsum(axis=1, dtype=np.int64).cumsum(axis=2)
    rows_NHW = sums_NHW[:, edge:] - sums_NHW[:, :-edge]
    return np.asarray(rows_NHW[:, :, edge:] - rows_NHW[:, :, :-edge], np.int64)
