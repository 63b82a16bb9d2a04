"""The contingency table: four counts that add up over chunks and days; ratios are taken from the sums, last."""

import math
from dataclasses import dataclass

import numpy as np

from core.arrays import FloatField


@dataclass(frozen=True)
class Counts:
    """Cells by forecast and observed event; Python integers, so that no sum overflows."""

    hits: int = 0
    misses: int = 0
    false_alarms: int = 0
    correct_negatives: int = 0

    def __add__(self, other: "Counts") -> "Counts":
        return Counts(
            self.hits + other.hits,
            self.misses + other.misses,
            self.false_alarms + other.false_alarms,
            self.correct_negatives + other.correct_negatives,
        )

    @property
    def total(self) -> int:
        """Compared cells."""
        return self.hits + self.misses + self.false_alarms + self.correct_negatives

    def value(self, score_name: str) -> float | None:
        """A registered categorical score of these counts; None where it is undefined.

        Raises:
            UnknownNameError: no score has that name.
            ValueError: the score takes other totals than counts.
        """
        from verification.scores import SCORES, CategoricalScore  # here, since every score is built on this file

        score = SCORES.get(score_name)()
        if not isinstance(score, CategoricalScore):
            raise ValueError(f"score {score_name!r} takes other totals than counts of events")
        value = score.value(self)
        return value if math.isfinite(value) else None


def contingency(forecast_mmh: FloatField, observed_mmh: FloatField, threshold_mmh: float) -> Counts:
    """Count the cells where both fields are finite; an event is a rate at or above the threshold.

    Raises:
        ValueError: fields of two shapes.
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
