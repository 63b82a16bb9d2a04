"""False alarm ratio."""

from dataclasses import dataclass
from typing import ClassVar

from verification.scores.base import SCORES
from verification.scores.categorical import CategoricalScore


@SCORES.register("far")
@dataclass(frozen=True)
class FAR(CategoricalScore):
    """false alarms / (hits + false alarms); 0 is best; NaN without a forecast event, which is not a best value."""

    best: ClassVar[float] = 0.0
    title: ClassVar[str | None] = "False-alarm ratio"
    formula: ClassVar[str] = "false_alarm_ratio"
