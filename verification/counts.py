"""The contingency table: four counts that add up over chunks and days; ratios are taken from the sums, last."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TypeVar

import numpy as np

from core.arrays import BoolField, FloatField
from verification.sums import Sums

M = TypeVar("M", bound=str)


@dataclass(frozen=True)
class Counts(Sums):
    """Grid cells by forecast and observed event; Python integers, so that no sum overflows."""

    hits: int = 0
    misses: int = 0
    false_alarms: int = 0
    correct_negatives: int = 0

    @property
    def total(self) -> int:
        """Return the number of compared grid cells."""
        return self.hits + self.misses + self.false_alarms + self.correct_negatives


def contingency(forecast_mmh: FloatField, observed_mmh: FloatField, threshold_mmh: float) -> Counts:
    """Count the grid cells where both fields are finite; an event is a rate at or above the threshold.

    Raises:
        ValueError: the fields differ in shape.
    """
    if forecast_mmh.shape != observed_mmh.shape:
        raise ValueError(f"forecast of {forecast_mmh.shape} against observations of {observed_mmh.shape}")
    both = np.isfinite(forecast_mmh) & np.isfinite(observed_mmh)
    with np.errstate(invalid="ignore"):
        forecast_event, observed_event = forecast_mmh >= threshold_mmh, observed_mmh >= threshold_mmh
    hits = int(np.count_nonzero(both & forecast_event & observed_event))
    misses = int(np.count_nonzero(both & observed_event)) - hits
    false_alarms = int(np.count_nonzero(both & forecast_event)) - hits
    return Counts(hits, misses, false_alarms, int(np.count_nonzero(both)) - hits - misses - false_alarms)


def contingencies(
    forecasts: Mapping[str, FloatField],
    observed_N: FloatField,
    thresholds_mmh: Sequence[float],
    masks: Mapping[M, BoolField],
) -> dict[tuple[str, M, float], Counts]:
    """Count every forecast at every threshold within every mask, by (model, mask, threshold).

    One pass over the cells gives the joint histogram of the classes of rate on both sides; the counts of each threshold
    are sums of it. That takes a third of the time of one comparison per threshold.

    Args:
        forecasts: finite rates of the same N grid cells in mm/h, by model.
        observed_N: mm/h, finite.
        thresholds_mmh: in any order.
        masks: selections of the N cells.
    """
    ascending = sorted(set(thresholds_mmh))
    size = len(ascending) + 1
    seen_N = _classes(observed_N, ascending)
    found = {}
    for model, forecast_N in forecasts.items():
        pair_N = _classes(forecast_N, ascending) * size + seen_N
        for mask, counted_N in masks.items():
            joint = np.bincount(pair_N[counted_N], minlength=size * size).reshape(size, size)
            for above, threshold in enumerate(ascending, start=1):
                hits, false_alarms = joint[above:, above:].sum(), joint[above:, :above].sum()
                misses, negatives = joint[:above, above:].sum(), joint[:above, :above].sum()
                found[model, mask, threshold] = Counts(*map(int, (hits, misses, false_alarms, negatives)))
    return found


def _classes(rate_N: FloatField, ascending: Sequence[float]) -> np.ndarray[tuple[int, ...], np.dtype[np.intp]]:
    """Return the number of thresholds that each rate reaches."""
    reached_N = np.zeros(rate_N.shape, np.uint8)
    for threshold in ascending:
        reached_N += rate_N >= threshold
    return reached_N.astype(np.intp)
