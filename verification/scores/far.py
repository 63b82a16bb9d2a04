"""False alarm ratio."""

from dataclasses import dataclass
from typing import ClassVar

from verification.counts import Counts
from verification.scores.base import SCORES
from verification.scores.categorical import CategoricalScore, ratio


@SCORES.register("far")
@dataclass(frozen=True)
class FAR(CategoricalScore):
    """false alarms / (hits + false alarms); 0 is best; NaN without a forecast event, which is not a best value."""

    best: ClassVar[float] = 0.0
    title: ClassVar[str | None] = "False-alarm ratio"

    def value(self, totals: Counts) -> float:
        return ratio(totals, "false_alarm_ratio")
