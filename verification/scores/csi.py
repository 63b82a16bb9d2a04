"""Critical success index."""

from dataclasses import dataclass
from typing import ClassVar

from verification.counts import Counts
from verification.scores.base import SCORES
from verification.scores.categorical import CategoricalScore, ratio


@SCORES.register("csi")
@dataclass(frozen=True)
class CSI(CategoricalScore):
    """hits / (hits + misses + false alarms) (Schaefer 1990); NaN without a forecast or observed event."""

    title: ClassVar[str | None] = "Critical success index"

    def value(self, totals: Counts) -> float:
        return ratio(totals, "critical_success_index")
