"""Heidke skill score."""

from dataclasses import dataclass
from typing import ClassVar

from verification.scores.base import SCORES
from verification.scores.categorical import CategoricalScore


@SCORES.register("hss")
@dataclass(frozen=True)
class HSS(CategoricalScore):
    """Share of correct cells above chance (Heidke 1926); NaN where both sides are all events, or both none."""

    title: ClassVar[str | None] = "Heidke skill score"
    formula: ClassVar[str] = "heidke_skill_score"
    above_chance: ClassVar[bool] = True
