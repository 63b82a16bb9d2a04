"""Heidke skill score."""

from dataclasses import dataclass
from typing import ClassVar

from verification.counts import Counts
from verification.scores.base import SCORES
from verification.scores.categorical import CategoricalScore, ratio


@SCORES.register("hss")
@dataclass(frozen=True)
class HSS(CategoricalScore):
    """Share of correct cells above chance (Heidke 1926); NaN where both sides are all events, or both none."""

    title: ClassVar[str | None] = "Heidke skill score"

    def value(self, totals: Counts) -> float:
        if totals.is_constant:  # 0 / 0, which rounding in the library turns into a perfect 1
            return float("nan")
        return ratio(totals, "heidke_skill_score")
