"""Rank histogram of ensemble members."""

import math
from dataclasses import dataclass
from typing import ClassVar, Final

import numpy as np

from core.arrays import Float64Field
from verification.scores.base import SCORES
from verification.scores.members import MemberScore
from verification.sums import NANO, Sums

MOST_MEMBERS: Final = 100
NO_RANKS: Final = (0,) * (MOST_MEMBERS + 1)


@dataclass(frozen=True)
class RankBins(Sums):
    """Grid cells by the rank of the observation among the members, and the number that a flat histogram has.

    Both in 1e-9 cells, since a cell with ties counts in parts. Ensembles of different sizes can be added.
    """

    bins: ClassVar[int] = MOST_MEMBERS + 1
    cells_nano: tuple[int, ...] = NO_RANKS
    flat_nano: tuple[int, ...] = NO_RANKS

    def shares(self) -> list[tuple[float, float]]:
        """Return the share of cells of every rank, and the share in a flat histogram; empty without a cell."""
        total = sum(self.cells_nano)
        pairs = zip(self.cells_nano, self.flat_nano, strict=True)
        return [(cells / total, flat / total) for cells, flat in pairs if flat] if total else []


@SCORES.register("rank-histogram")
@dataclass(frozen=True)
class RankHistogram(MemberScore[RankBins]):
    """Sum over ranks of the distance from a flat histogram, in shares of the cells (Delle Monache et al. 2006).

    0 is flat; 2 - 2 / (M + 1) has every observation at one rank. A rate below `least_mmh` counts as dry, and a cell
    where the observation and all members are dry does not count: it has no rank, and most cells are such. Where the
    observation equals some members (dry ones most of all), the cell counts in equal parts at every rank that a random
    order of the equals could give, which needs no random numbers.

    Attributes:
        least_mmh: smallest rate that is not dry.
    """

    sums: ClassVar[type[Sums]] = RankBins
    best: ClassVar[float] = 0.0
    title: ClassVar[str | None] = "Distance of the rank histogram from a flat one"
    least_mmh: float = 0.1

    def of_cells(self, member_MN: Float64Field, observed_N: Float64Field) -> RankBins:
        members = len(member_MN)
        if members > MOST_MEMBERS:
            raise ValueError(f"expected at most {MOST_MEMBERS} members, got {members}")
        wet_N = (observed_N >= self.least_mmh) | (member_MN >= self.least_mmh).any(axis=0)
        member_MN, observed_N = (
            np.where(x >= self.least_mmh, x, 0.0) for x in (member_MN[:, wet_N], observed_N[wet_N])
        )
        below_N, equal_N = (member_MN < observed_N).sum(axis=0), (member_MN == observed_N).sum(axis=0)
        ranks = members + 1
        joint = np.bincount(below_N * ranks + equal_N, minlength=ranks * ranks).reshape(ranks, ranks)
        cells = [0] * (MOST_MEMBERS + 1)
        for below, equal in np.argwhere(joint).tolist():
            for rank in range(below, below + equal + 1):
                cells[rank] += int(joint[below, equal]) * round(NANO / (equal + 1))
        flat = len(observed_N) * round(NANO / ranks)
        return RankBins(tuple(cells), tuple([flat] * ranks + [0] * (MOST_MEMBERS - members)))

    def value(self, totals: RankBins) -> float:
        shares = totals.shares()
        return sum(abs(share - flat) for share, flat in shares) if shares else math.nan
