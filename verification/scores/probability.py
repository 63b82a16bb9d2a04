"""Scores of the probability of an event, against rain that was observed."""

from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from core.arrays import BoolField, Float64Field, FloatField
from verification.scores.base import Score, T, Takes
from verification.table import MASKS, Mask


@dataclass(frozen=True)
class ProbabilityScore(Score[T]):
    """A score of the probability of an event.

    Attributes:
        threshold_mmh: the event is a rate at or above it.
    """

    takes: ClassVar[Takes] = "probabilities"
    masks: ClassVar[tuple[Mask, ...]] = MASKS
    threshold_mmh: float = 1.0


def check_probabilities(probability: FloatField, observed_mmh: FloatField) -> None:
    """Check that both fields have one shape, and the probabilities, where they are known, are within 0 to 1.

    Raises:
        ValueError: the fields differ in shape, or a probability is outside of 0 to 1.
    """
    if probability.shape != observed_mmh.shape:
        raise ValueError(f"forecast of {probability.shape} against observations of {observed_mmh.shape}")
    lowest, highest = (
        float(extreme(probability, axis=None, initial=0.5)) for extreme in (np.fmin.reduce, np.fmax.reduce)
    )
    if not 0.0 <= lowest <= highest <= 1.0:
        raise ValueError(f"expected probabilities within 0 to 1, got {lowest} to {highest}")


def events_of(
    probability: FloatField, observed_mmh: FloatField, threshold_mmh: float
) -> tuple[Float64Field, BoolField]:
    """Return the probability and whether the event was observed, of the cells where both are known.

    Raises:
        ValueError: the fields differ in shape, or a probability is outside of 0 to 1.
    """
    check_probabilities(probability, observed_mmh)
    both = np.isfinite(probability) & np.isfinite(observed_mmh)
    return probability[both].astype(np.float64), observed_mmh[both] >= threshold_mmh
