"""Absolute error of rain rates."""

import math
from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from core.arrays import FloatField
from verification.scores.base import SCORES, Score


@dataclass(frozen=True)
class CellSum:
    """Sum of one value per cell, in doubles, and the number of cells."""

    total: float = 0.0
    cells: int = 0

    def __add__(self, other: "CellSum") -> "CellSum":
        return CellSum(self.total + other.total, self.cells + other.cells)

    @property
    def mean(self) -> float:
        """Mean of a cell; NaN without one."""
        return self.total / self.cells if self.cells else math.nan


@SCORES.register("rate-mae")
@dataclass(frozen=True)
class RateMAE(Score[CellSum]):
    """Mean absolute difference in mm/h over the cells that both sides observed: the CRPS of a single field."""

    best: ClassVar[float] = 0.0

    def totals(self, forecast: FloatField, observed: FloatField) -> CellSum:
        if forecast.shape != observed.shape:
            raise ValueError(f"forecast of {forecast.shape} against observations of {observed.shape}")
        both = np.isfinite(forecast) & np.isfinite(observed)
        difference = np.abs(forecast[both].astype(np.float64) - observed[both])
        return CellSum(float(difference.sum()), int(difference.size))

    def value(self, totals: CellSum) -> float:
        return totals.mean
