"""Heidke skill score."""

from dataclasses import dataclass

from verification.counts import Counts
from verification.scores.base import SCORES, CategoricalScore, ratio


@SCORES.register("hss")
@dataclass(frozen=True)
class HSS(CategoricalScore):
    """Share of correct cells above chance (Heidke 1926); NaN where both sides are all events, or both none."""

    def value(self, totals: Counts) -> float:
        only_events = totals.hits == totals.total
        no_events = totals.correct_negatives == totals.total
        if only_events or no_events:  # 0 / 0, which rounding in the library turns into a perfect 1
            return float("nan")
        return ratio(totals, "heidke_skill_score")
