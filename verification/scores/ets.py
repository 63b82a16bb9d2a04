"""Equitable threat score."""

from dataclasses import dataclass
from typing import ClassVar

from verification.counts import Counts
from verification.scores.base import SCORES
from verification.scores.categorical import CategoricalScore, ratio


@SCORES.register("ets")
@dataclass(frozen=True)
class ETS(CategoricalScore):
    """CSI without the hits by chance, the Gilbert skill score (Schaefer 1990); -1/3 to 1, 0 is no skill."""

    title: ClassVar[str | None] = "Equitable threat score (Gilbert skill score)"

    def value(self, totals: Counts) -> float:
        if totals.is_constant:  # 0 / 0, as in the Heidke skill score
            return float("nan")
        return ratio(totals, "equitable_threat_score")
