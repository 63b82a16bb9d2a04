"""Critical success index."""

from dataclasses import dataclass
from typing import ClassVar

from verification.scores.base import SCORES
from verification.scores.categorical import CategoricalScore


@SCORES.register("csi")
@dataclass(frozen=True)
class CSI(CategoricalScore):
    """hits / (hits + misses + false alarms) (Schaefer 1990); NaN without a forecast or observed event."""

    title: ClassVar[str | None] = "Critical success index"
    formula: ClassVar[str] = "critical_success_index"
