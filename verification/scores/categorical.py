"""Scores of events: all of them are ratios of the four counts."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import product
from typing import Any, ClassVar

import numpy as np
from scores.categorical import BasicContingencyManager

from core.arrays import Float64Field, FloatField
from verification.counts import Counts, contingencies, contingency
from verification.lead import ComparedLead
from verification.scores.base import Score
from verification.sums import Sums
from verification.table import MASKS, Mask, SumRow


@dataclass(frozen=True)
class CategoricalScore(Score[Counts]):
    """A score of events.

    Attributes:
        formula: name of the method of `scores.categorical.BasicContingencyManager`; a subclass with its own `value`
            needs none.
        above_chance: whether the score is 0 / 0 where both sides are all events, or both none.
        threshold_mmh: an event is a rate at or above it.
    """

    sums: ClassVar[type[Sums]] = Counts
    family: ClassVar[str | None] = "counts"
    masks: ClassVar[tuple[Mask, ...]] = MASKS
    formula: ClassVar[str] = ""
    above_chance: ClassVar[bool] = False
    threshold_mmh: float = 1.0

    def totals(self, forecast: FloatField, observed: FloatField) -> Counts:
        """Return the counts of one chunk, of any grid cells."""
        return contingency(forecast, observed, self.threshold_mmh)

    def value(self, totals: Counts) -> float:
        """Return the ratio of the library; NaN where it divides by 0."""
        return float(self._ratios(np.array([float(number) for number in totals.flat()])))

    def values(self, table: Float64Field) -> Float64Field:
        """Return the ratios of many tables of counts at once."""
        own_value = type(self).value is not CategoricalScore.value
        return super().values(table) if own_value else self._ratios(table)

    def _ratios(self, table: Float64Field) -> Float64Field:
        hits, misses, false_alarms, negatives = np.moveaxis(table, -1, 0)
        total = table.sum(axis=-1)
        counts = {"tp_count": hits, "fn_count": misses, "fp_count": false_alarms, "tn_count": negatives}
        formula: Any = getattr(_Table(counts | {"total_count": total}), self.formula)
        with np.errstate(divide="ignore", invalid="ignore"):
            ratio = np.asarray(formula())
        defined = np.isfinite(ratio)
        if self.above_chance:  # 0 / 0, which rounding in the library turns into a perfect 1
            defined &= (total != hits) & (total != negatives)
        return np.where(defined, ratio, np.nan)

    @classmethod
    def compare(
        cls,
        family: str,
        lead: ComparedLead,
        thresholds_mmh: Sequence[float],
        windows_km: Sequence[float],  # noqa: ARG003 (a count has no neighbourhood)
        masks: Sequence[Mask],
    ) -> Iterator[SumRow]:
        """Yield the counts of every model, threshold and mask from one pass over the cells."""
        every_HW = lead.masks["all"]
        within = {mask: lead.masks[mask][every_HW] for mask in masks}
        rates = {model: rate_HW[every_HW] for model, rate_HW in lead.rates.items()}
        found = contingencies(rates, lead.observed_HW[every_HW], thresholds_mmh, within)
        for mask, model, threshold in product(within, rates, thresholds_mmh):
            yield SumRow(model, lead.lead_minutes, family, found[model, mask, threshold], threshold, None, mask)


class _Table(BasicContingencyManager):  # type: ignore[misc]
    """The formulas of the library `scores` on plain arrays: its own table of labelled arrays costs 3 ms each."""

    def __init__(self, counts: dict[str, Float64Field]) -> None:
        self.counts = counts
