"""Equitable threat score."""

from dataclasses import dataclass
from typing import ClassVar

from verification.scores.base import SCORES
from verification.scores.categorical import CategoricalScore


@SCORES.register("ets")
@dataclass(frozen=True)
class ETS(CategoricalScore):
    """CSI without the hits by chance, the Gilbert skill score (Schaefer 1990); -1/3 to 1, 0 is no skill."""

    title: ClassVar[str | None] = "Equitable threat score (Gilbert skill score)"
    formula: ClassVar[str] = "equitable_threat_score"
    above_chance: ClassVar[bool] = True
