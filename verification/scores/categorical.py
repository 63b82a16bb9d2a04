"""Scores of events: all of them are ratios of the four counts."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import product
from typing import Any, ClassVar

import numpy as np
from scores.categorical import BasicContingencyManager

from core.arrays import FloatField
from verification.counts import Counts, contingencies, contingency
from verification.lead import ComparedLead
from verification.scores.base import Score
from verification.sums import Sums
from verification.table import MASKS, Mask, SumRow


@dataclass(frozen=True)
class CategoricalScore(Score[Counts]):
    """A score of events.

    Attributes:
        threshold_mmh: an event is a rate at or above it.
    """

    sums: ClassVar[type[Sums]] = Counts
    family: ClassVar[str | None] = "counts"
    masks: ClassVar[tuple[Mask, ...]] = MASKS
    threshold_mmh: float = 1.0

    def totals(self, forecast: FloatField, observed: FloatField) -> Counts:
        """Return the counts of one chunk, of any grid cells."""
        return contingency(forecast, observed, self.threshold_mmh)

    @classmethod
    def compare(
        cls,
        family: str,
        lead: ComparedLead,
        thresholds_mmh: Sequence[float],
        windows_km: Sequence[float],  # noqa: ARG003 (a count has no neighbourhood)
    ) -> Iterator[SumRow]:
        """Yield the counts of every model, threshold and mask from one pass over the cells."""
        every_HW = lead.masks["all"]
        within = {mask: mask_HW[every_HW] for mask, mask_HW in lead.masks.items() if mask in cls.masks}
        rates = {model: rate_HW[every_HW] for model, rate_HW in lead.rates.items()}
        found = contingencies(rates, lead.observed_HW[every_HW], thresholds_mmh, within)
        for mask, model, threshold in product(within, rates, thresholds_mmh):
            yield SumRow(model, lead.lead_minutes, family, found[model, mask, threshold], threshold, None, mask)


class _Table(BasicContingencyManager):  # type: ignore[misc]
    """The formulas of the library `scores` on plain numbers: its own table of labelled arrays costs 3 ms each."""

    def __init__(self, counts: dict[str, np.float64]) -> None:
        self.counts = counts


def ratio(totals: Counts, method: str) -> float:
    """Return a score of the library `scores` by the name of its method; NaN where it divides by 0."""
    table = _Table(
        {
            "tp_count": np.float64(totals.hits),
            "fn_count": np.float64(totals.misses),
            "fp_count": np.float64(totals.false_alarms),
            "tn_count": np.float64(totals.correct_negatives),
            "total_count": np.float64(totals.total),
        }
    )
    formula: Any = getattr(table, method)
    with np.errstate(divide="ignore", invalid="ignore"):
        value = float(formula())
    return value if np.isfinite(value) else float("nan")
