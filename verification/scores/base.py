"""What a score is: counts that add up, and a ratio that is taken from them at the end."""

from abc import ABC, abstractmethod
from dataclasses import dataclass
from typing import Any

import numpy as np
from scores.categorical import BasicContingencyManager

from core.registry import Registry
from verification.counts import Counts, FloatField, contingency


@dataclass(frozen=True)
class Score(ABC):
    """A categorical score at one threshold.

    Attributes:
        threshold_mmh: an event is a rate at or above it.
        best: the value of a perfect forecast.
    """

    threshold_mmh: float = 1.0
    best: float = 1.0

    def totals(self, forecast_mmh: FloatField, observed_mmh: FloatField) -> Counts:
        """Counts of one chunk; cells that one side did not observe do not count, and chunks add up."""
        return contingency(forecast_mmh, observed_mmh, self.threshold_mmh)

    @abstractmethod
    def value(self, totals: Counts) -> float:
        """The score of the summed counts; NaN where it is undefined."""


SCORES: Registry[type[Score]] = Registry("score")


class _Table(BasicContingencyManager):  # type: ignore[misc]
    """The formulas of the library `scores` on plain numbers: its own table of labelled arrays costs 3 ms each."""

    def __init__(self, counts: dict[str, np.float64]) -> None:
        self.counts = counts


def ratio(totals: Counts, method: str) -> float:
    """A score of the library `scores` by its method's name; NaN where it divides by 0."""
    table = _Table(
        {
            "tp_count": np.float64(totals.hits),
            "fn_count": np.float64(totals.misses),
            "fp_count": np.float64(totals.false_alarms),
            "tn_count": np.float64(totals.correct_negatives),
            "total_count": np.float64(totals.total),
        }
    )
    formula: Any = getattr(table, method)
    with np.errstate(divide="ignore", invalid="ignore"):
        value = float(formula())
    return value if np.isfinite(value) else float("nan")
