"""Two scores that are added at run time, as one file and one line would add them: one of counts, one with own sums."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import ClassVar

import numpy as np
import pytest

from verification.counts import Counts
from verification.scores import SCORES, CategoricalScore, Score
from verification.sums import Sums

OF_COUNTS, OWN = "squall", "near-share"


@dataclass(frozen=True)
class NearSums(Sums):
    """Grid cells whose forecast is near the observation, and all."""

    near: int = 0
    cells: int = 0


@dataclass(frozen=True)
class Squall(CategoricalScore):
    """The equitable threat score by hand."""

    title: ClassVar[str | None] = "Squall"

    def value(self, totals: Counts) -> float:
        events, forecast = totals.hits + totals.misses, totals.hits + totals.false_alarms
        by_chance = events * forecast / totals.total if totals.total else 0.0
        below = events + totals.false_alarms - by_chance
        return (totals.hits - by_chance) / below if below else float("nan")


@dataclass(frozen=True)
class NearShare(Score[NearSums]):
    """Share of the grid cells whose forecast is at most 1 mm/h off."""

    sums: ClassVar[type[Sums]] = NearSums

    def totals(self, forecast, observed):
        both = np.isfinite(forecast) & np.isfinite(observed)
        return NearSums(int((np.abs(forecast[both] - observed[both]) <= 1.0).sum()), int(both.sum()))

    def value(self, totals):
        return totals.near / totals.cells if totals.cells else float("nan")


@contextmanager
def added_scores() -> Iterator[None]:
    """Register both while the context is active."""
    with pytest.MonkeyPatch.context() as patch:
        for name, kind in ((OF_COUNTS, Squall), (OWN, NearShare)):
            assert name not in SCORES
            patch.setitem(SCORES._entries, name, kind)
        yield
