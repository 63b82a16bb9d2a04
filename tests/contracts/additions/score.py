"""Equitable threat score."""

from dataclasses import dataclass

from verification.counts import Counts
from verification.scores.base import SCORES
from verification.scores.categorical import CategoricalScore


@SCORES.register("NAME")
@dataclass(frozen=True)
class AddedScore(CategoricalScore):
    """(hits - random hits) / (hits + misses + false alarms - random hits) (Gandin and Murphy 1992)."""

    def value(self, totals: Counts) -> float:
        events, forecast = totals.hits + totals.misses, totals.hits + totals.false_alarms
        if not totals.total:
            return float("nan")
        by_chance = events * forecast / totals.total
        below = events + totals.false_alarms - by_chance
        return (totals.hits - by_chance) / below if below else float("nan")
