"""Two ways to one value of several leads: the score of pooled sums, and the mean of the scores of the leads."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import reduce
from operator import add
from typing import Any, Final, Literal

import numpy as np

from core.arrays import Float64Field
from verification.scores.base import Score
from verification.sums import Sums
from verification.table import Mask, SumRow

Mean = Literal["pooled", "leads"]
MEANS: Final[tuple[Mean, Mean]] = ("pooled", "leads")


@dataclass(frozen=True)
class PooledValue:
    """The score of the sums over all leads: a lead with more events has more weight."""

    score: Score[Any]

    def of(self, sums_by_lead: Sequence[Sums]) -> float:
        """Return the value of the sums of each lead; NaN where it is undefined, and without a lead."""
        return self.score.value(reduce(add, sums_by_lead, self.score.sums()))

    def of_table(self, table_RLF: Float64Field) -> Float64Field:
        """Return the value of each of R tables of sums, whose rows are leads and columns the numbers of `Sums.flat`."""
        return self.score.values(table_RLF.sum(axis=-2))


@dataclass(frozen=True)
class LeadMean:
    """The mean over leads of the score of each lead's sums: every lead has the same weight.

    It is undefined as soon as one lead is. To leave such leads out would compare models over different leads: a model
    without a forecast event has no CSI where nothing was observed, and one with false alarms has 0.
    """

    score: Score[Any]

    def of(self, sums_by_lead: Sequence[Sums]) -> float:
        """Return the value of the sums of each lead; NaN where a lead is undefined, and without a lead."""
        values = [self.score.value(sums) for sums in sums_by_lead]
        return float(np.mean(values)) if values else float("nan")

    def of_table(self, table_RLF: Float64Field) -> Float64Field:
        """Return the value of each of R tables of sums, whose rows are leads and columns the numbers of `Sums.flat`."""
        return np.asarray(self.score.values(table_RLF).mean(axis=-1), np.float64)


Statistic = PooledValue | LeadMean


def statistic(mean: Mean, score: Score[Any]) -> Statistic:
    """Return one of the two means of a score."""
    return PooledValue(score) if mean == "pooled" else LeadMean(score)


def sums_by_lead(
    rows: Iterable[SumRow],
    model: str,
    family: str,
    *,
    threshold_mmh: float | None = None,
    window_km: float | None = None,
    mask: Mask = "all",
    period_minutes: int | None = None,
) -> dict[int, Any]:
    """Return the sums of one model by lead in minutes, ascending; rows of one lead are added up."""
    found: dict[int, Any] = {}
    wanted = (model, family, threshold_mmh, window_km, mask, period_minutes)
    for row in rows:
        key = (row.model, row.family, row.threshold_mmh, row.window_km, row.mask, row.period_minutes)
        if key == wanted:
            found[row.lead_minutes] = found[row.lead_minutes] + row.sums if row.lead_minutes in found else row.sums
    return dict(sorted(found.items()))
