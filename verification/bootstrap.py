"""Intervals of scores by bootstrap over spells of weather; windows of one storm are no independent samples.

Each resample draws as many spells as there are, with replacement (Efron 1979); the interval is that of the percentiles.
A difference of two models takes the same draws for both, since the weather of a spell is the same for both.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final, Literal

import numpy as np

from core.arrays import Float64Field
from verification.means import Statistic
from verification.sums import Sums

RESAMPLES: Final = 1000
LEVEL: Final = 0.9
LEAST_SPELLS: Final = 3
"""Fewer spells give no interval: two spells have three different resamples."""

LEAST_DEFINED: Final = 0.9
"""Share of the resamples whose value must be defined; the others are left out."""

LEAST_OBSERVED_CELLS: Final = 2000
"""Observed events, in grid cells, below which nothing is claimed."""

SpellSums = Mapping[str, Sequence[Sums]]
"""Sums of each lead, by spell; every spell has the same leads."""

Verdict = Literal["better", "worse", "cannot be distinguished", "too few spells", "too few observed cells"]


@dataclass(frozen=True)
class Interval:
    """Percentiles of the resampled values, in the unit of the score.

    Attributes:
        low: lower end.
        high: upper end.
        level: share of the resamples between both.
    """

    low: float
    high: float
    level: float = LEVEL

    @property
    def differs(self) -> bool:
        """Return whether 0 is not inside: of a difference, whether the two can be distinguished."""
        return self.low > 0.0 or self.high < 0.0


def interval(sums_by_spell: SpellSums, statistic: Statistic) -> Interval | None:
    """Return the interval of a score; None below three spells, or where too few resamples have a value.

    Raises:
        ValueError: the spells have different leads.
    """
    if len(sums_by_spell) < LEAST_SPELLS:
        return None
    return _interval(statistic.of_table(_resampled(sums_by_spell)))


def paired_interval(
    sums_a_by_spell: SpellSums, sums_b_by_spell: SpellSums, statistic: Statistic, *, relative: bool = False
) -> Interval | None:
    """Return the interval of the difference a - b, or of a / b - 1, over the same draws of spells.

    It is None below three spells, or where too few resamples have a value.

    Raises:
        ValueError: the two have different spells, or the spells different leads.
    """
    if set(sums_a_by_spell) != set(sums_b_by_spell):
        raise ValueError(f"expected the spells {sorted(sums_b_by_spell)}, got {sorted(sums_a_by_spell)}")
    if len(sums_a_by_spell) < LEAST_SPELLS:
        return None
    ordered = {spell: sums_a_by_spell[spell] for spell in sums_b_by_spell}
    a_R, b_R = (statistic.of_table(_resampled(sums)) for sums in (ordered, sums_b_by_spell))
    with np.errstate(divide="ignore", invalid="ignore"):
        return _interval(a_R / b_R - 1.0 if relative else a_R - b_R)


def verdict(difference: Interval | None, best: float, observed_events: int) -> Verdict:
    """Return what may be claimed of the difference a - b of a score: what `a` is, compared with `b`.

    Args:
        difference: its paired interval.
        best: 0 where smaller is better (`Score.best`).
        observed_events: grid cells with an observed event, on which both were scored.
    """
    if observed_events < LEAST_OBSERVED_CELLS:
        return "too few observed cells"
    if difference is None:
        return "too few spells"
    if not difference.differs:
        return "cannot be distinguished"
    return "better" if (difference.low > 0.0) == (best > 0.0) else "worse"


def _resampled(sums_by_spell: SpellSums) -> Float64Field:
    """Return the sums of each resample, (R, L, F); doubles, since whole numbers of 64 bits overflow."""
    leads = {spell: len(sums) for spell, sums in sums_by_spell.items()}
    if len(set(leads.values())) > 1:
        raise ValueError(f"expected the same leads of every spell, got {leads}")
    table_SLF = np.array([[sums.flat() for sums in of_spell] for of_spell in sums_by_spell.values()], np.float64)
    spells = len(table_SLF)
    drawn_RS = np.random.default_rng(0).multinomial(spells, np.full(spells, 1 / spells), RESAMPLES)
    return np.tensordot(drawn_RS.astype(np.float64), table_SLF, axes=1)


def _interval(value_R: Float64Field) -> Interval | None:
    defined_N = value_R[np.isfinite(value_R)]
    if len(defined_N) < LEAST_DEFINED * len(value_R):
        return None
    outside = (1 - LEVEL) / 2
    low, high = np.quantile(defined_N, (outside, 1 - outside))
    return Interval(float(low), float(high))
