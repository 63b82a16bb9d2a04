"""Frequency bias."""

from dataclasses import dataclass

from verification.counts import Counts
from verification.scores.base import SCORES, CategoricalScore, ratio


@SCORES.register("bias")
@dataclass(frozen=True)
class Bias(CategoricalScore):
    """(hits + false alarms) / (hits + misses): events forecast per event seen; NaN where nothing was seen."""

    def value(self, totals: Counts) -> float:
        return ratio(totals, "frequency_bias")
