"""Continuous ranked probability score of ensemble members, as they are and fair."""

import math
from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from core.arrays import Float64Field
from verification.scores.base import SCORES
from verification.scores.members import MemberScore
from verification.sums import NANO, Sums, fixed_sum, quotient


@dataclass(frozen=True)
class EnsembleSums(Sums):
    """Sums over grid cells, in mm/h, each rounded to 1e-9.

    Attributes:
        error_nano: mean over members of the distance from the observation.
        pairs_nano: half of the mean distance of two members, a member's distance from itself included.
        fair_pairs_nano: the same without itself.
        cells: compared grid cells.
    """

    error_nano: int = 0
    pairs_nano: int = 0
    fair_pairs_nano: int = 0
    cells: int = 0


@SCORES.register("crps-members")
@dataclass(frozen=True)
class MembersCRPS(MemberScore[EnsembleSums]):
    """Mean over cells of E|X - o| - E|X - X'| / 2, in mm/h (Gneiting and Raftery 2007, eq. 21).

    It is the score of the distribution that the members are: fewer members score worse. To compare with `crps`, the
    score of probabilities.
    """

    sums: ClassVar[type[Sums]] = EnsembleSums
    family: ClassVar[str | None] = "members"
    best: ClassVar[float] = 0.0
    title: ClassVar[str | None] = "Continuous ranked probability score of the members in mm/h"

    def of_cells(self, member_MN: Float64Field, observed_N: Float64Field) -> EnsembleSums:
        some_N = (observed_N != 0.0) | (member_MN != 0.0).any(axis=0)  # the others add 0 to all but the number
        sorted_MN = np.sort(member_MN[:, some_N], axis=0)
        members = len(sorted_MN)
        error_N = np.abs(sorted_MN - observed_N[some_N]).mean(axis=0)
        distances_N = (2.0 * np.arange(members) + 1.0 - members) @ sorted_MN  # of all pairs, each counted once
        return EnsembleSums(
            fixed_sum(error_N, NANO),
            fixed_sum(distances_N / members**2, NANO),
            fixed_sum(distances_N / (members * (members - 1)), NANO),
            len(observed_N),
        )

    def value(self, totals: EnsembleSums) -> float:
        return (totals.error_nano - totals.pairs_nano) / NANO / totals.cells if totals.cells else math.nan

    def values(self, table: Float64Field) -> Float64Field:
        return quotient(table[..., 0] - table[..., 1], NANO * table[..., 3])


@SCORES.register("crps-fair")
@dataclass(frozen=True)
class FairCRPS(MembersCRPS):
    """The same without a member's distance from itself: what a large ensemble would have (Ferro 2014); may be below 0.

    To compare ensembles of different sizes.
    """

    title: ClassVar[str | None] = "Fair continuous ranked probability score of the members in mm/h"

    def value(self, totals: EnsembleSums) -> float:
        return (totals.error_nano - totals.fair_pairs_nano) / NANO / totals.cells if totals.cells else math.nan

    def values(self, table: Float64Field) -> Float64Field:
        return quotient(table[..., 0] - table[..., 2], NANO * table[..., 3])
