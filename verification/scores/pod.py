"""Probability of detection."""

from dataclasses import dataclass
from typing import ClassVar

from verification.scores.base import SCORES
from verification.scores.categorical import CategoricalScore


@SCORES.register("pod")
@dataclass(frozen=True)
class POD(CategoricalScore):
    """hits / (hits + misses), the hit rate; NaN without an observed event."""

    title: ClassVar[str | None] = "Probability of detection"
    formula: ClassVar[str] = "probability_of_detection"
