"""Spread of ensemble members against the error of their mean."""

import math
from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from core.arrays import Float64Field
from verification.scores.base import SCORES
from verification.scores.members import MemberScore
from verification.sums import PPM, Sums, fixed_sum, quotient


@dataclass(frozen=True)
class SpreadSums(Sums):
    """Sums over grid cells in (mm/h)^2, each rounded to 1e-6: variance of the members, squared error of their mean.

    The variance is that of the ensemble (divided by M - 1), times (M + 1) / M: the squared error that a reliable
    ensemble of M members has.
    """

    variance_ppm: int = 0
    squares_ppm: int = 0
    cells: int = 0

    @property
    def spread(self) -> float:
        """Return the spread in mm/h; NaN without a cell."""
        return math.sqrt(self.variance_ppm / PPM / self.cells) if self.cells else math.nan

    @property
    def error(self) -> float:
        """Return the root mean square error of the members' mean in mm/h; NaN without a cell."""
        return math.sqrt(self.squares_ppm / PPM / self.cells) if self.cells else math.nan


@SCORES.register("spread-skill")
@dataclass(frozen=True)
class SpreadSkill(MemberScore[SpreadSums]):
    """Spread / error of the mean (Fortin et al. 2014): 1 reliable, below 1 overconfident; NaN without an error.

    The means over cells are taken before the roots.
    """

    sums: ClassVar[type[Sums]] = SpreadSums
    title: ClassVar[str | None] = "Spread of the members / error of their mean"

    def of_cells(self, member_MN: Float64Field, observed_N: Float64Field) -> SpreadSums:
        members = len(member_MN)
        variance_N = member_MN.var(axis=0, ddof=1) * ((members + 1) / members)
        squares_N = np.square(member_MN.mean(axis=0) - observed_N)
        return SpreadSums(fixed_sum(variance_N, PPM), fixed_sum(squares_N, PPM), len(observed_N))

    def value(self, totals: SpreadSums) -> float:
        return math.sqrt(totals.variance_ppm / totals.squares_ppm) if totals.squares_ppm else math.nan

    def values(self, table: Float64Field) -> Float64Field:
        return np.sqrt(quotient(table[..., 0], table[..., 1]))
