"""Absolute error of rain rates."""

from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from core.arrays import Float64Field, FloatField
from verification.scores.base import SCORES, Score
from verification.sums import NANO, MeanSums, Sums, quotient


@SCORES.register("rate-mae")
@dataclass(frozen=True)
class RateMAE(Score[MeanSums]):
    """Mean absolute difference in mm/h over the cells that both sides have: the CRPS of a deterministic forecast."""

    sums: ClassVar[type[Sums]] = MeanSums
    best: ClassVar[float] = 0.0
    title: ClassVar[str | None] = "Mean absolute error in mm/h"

    def totals(self, forecast: FloatField, observed: FloatField) -> MeanSums:
        if forecast.shape != observed.shape:
            raise ValueError(f"forecast of {forecast.shape} against observations of {observed.shape}")
        both = np.isfinite(forecast) & np.isfinite(observed)
        return MeanSums.of(np.abs(forecast[both].astype(np.float64) - observed[both]))

    def value(self, totals: MeanSums) -> float:
        return totals.mean

    def values(self, table: Float64Field) -> Float64Field:
        return quotient(table[..., 0], NANO * table[..., 1])
