"""What a score is: totals that add up over chunks, and a value that is taken from them at the end.

Score
├── CategoricalScore   rain in mm/h: events at or above a threshold, any cells
├── RainFrameScore     rain in mm/h: one value per frame, summed over its observed cells
├── PictureScore       pictures with values 0 to 1: one value per frame, the forecast clipped to 0 to 1 first
├── FSS                rain in mm/h: events in a neighbourhood
├── RateMAE            rain in mm/h: absolute error of a cell
├── ProbabilityScore   probability of an event against rain in mm/h
└── CRPS               probabilities of exceeding several rates against rain in mm/h
"""

from abc import ABC, abstractmethod
from dataclasses import dataclass
from typing import Any, ClassVar, Generic, Literal, TypeVar

import numpy as np
from numpy.typing import NDArray
from scores.categorical import BasicContingencyManager

from core.arrays import FloatField
from core.registry import Registry
from verification.counts import Counts, contingency
from verification.frames import FrameSum, as_frames

T = TypeVar("T")


@dataclass(frozen=True)
class Score(ABC, Generic[T]):
    """A score; every parameter has a default.

    Attributes:
        takes: `rain` in mm/h with NaN where not observed, `pictures` with values 0 to 1, or `probabilities`, whose
            observations are rain in mm/h.
        best: the value of a perfect forecast.
    """

    takes: ClassVar[Literal["rain", "pictures", "probabilities"]] = "rain"
    best: ClassVar[float] = 1.0

    @abstractmethod
    def totals(self, forecast: FloatField, observed: FloatField) -> T:
        """What one chunk of whole frames, (..., H, W), adds; cells that one side did not observe do not count."""

    @abstractmethod
    def value(self, totals: T) -> float:
        """The score of the summed totals; NaN where it is undefined."""


SCORES: Registry[type[Score[Any]]] = Registry("score")


@dataclass(frozen=True)
class CategoricalScore(Score[Counts]):
    """A score of events.

    Attributes:
        threshold_mmh: an event is a rate at or above it.
    """

    threshold_mmh: float = 1.0

    def totals(self, forecast: FloatField, observed: FloatField) -> Counts:
        """Counts of one chunk, of any cells."""
        return contingency(forecast, observed, self.threshold_mmh)


@dataclass(frozen=True)
class ProbabilityScore(Score[T]):
    """A score of the probability of an event.

    Attributes:
        threshold_mmh: the event is a rate at or above it.
    """

    takes: ClassVar[Literal["rain", "pictures", "probabilities"]] = "probabilities"
    threshold_mmh: float = 1.0


def events_of(
    probability: FloatField, observed_mmh: FloatField, threshold_mmh: float
) -> tuple[NDArray[np.float64], NDArray[np.bool_]]:
    """Probability and whether the event came, of the cells where both are known.

    Raises:
        ValueError: fields of two shapes, or a probability outside of 0 to 1.
    """
    if probability.shape != observed_mmh.shape:
        raise ValueError(f"forecast of {probability.shape} against observations of {observed_mmh.shape}")
    both = np.isfinite(probability) & np.isfinite(observed_mmh)
    probability_N = probability[both].astype(np.float64)
    if probability_N.size and not 0.0 <= probability_N.min() <= probability_N.max() <= 1.0:
        raise ValueError(f"probabilities from {probability_N.min()} to {probability_N.max()}; 0 to 1 was due")
    return probability_N, observed_mmh[both] >= threshold_mmh


@dataclass(frozen=True)
class PictureScore(Score[FrameSum]):
    """A score of pictures: the mean over frames of one value per frame, as the paper's."""

    takes: ClassVar[Literal["rain", "pictures", "probabilities"]] = "pictures"

    def totals(self, forecast: FloatField, observed: FloatField) -> FrameSum:
        """Sum over frames; the forecast is clipped to 0 to 1.

        Raises:
            ValueError: a value that is NaN: a picture has no cells that were not observed.
        """
        forecast_NHW, observed_NHW = as_frames(forecast, observed)
        if np.isnan(forecast_NHW).any() or np.isnan(observed_NHW).any():
            raise ValueError("a picture with NaN; values 0 to 1 were due (rain goes to the scores that take rain)")
        value_N = self.per_frame_N(np.clip(forecast_NHW, 0.0, 1.0), observed_NHW)
        return FrameSum(float(value_N.sum()), len(value_N))

    def value(self, totals: FrameSum) -> float:
        return totals.mean

    @abstractmethod
    def per_frame_N(self, forecast_NHW: FloatField, observed_NHW: FloatField) -> NDArray[np.float64]:
        """The value of each frame."""


@dataclass(frozen=True)
class RainFrameScore(Score[FrameSum]):
    """A score of rain: the mean over frames of one sum over observed cells; a frame without any does not count."""

    best: ClassVar[float] = 0.0

    def totals(self, forecast: FloatField, observed: FloatField) -> FrameSum:
        forecast_NHW, observed_NHW = as_frames(forecast, observed)
        seen_NHW = np.isfinite(forecast_NHW) & np.isfinite(observed_NHW)
        frames = int(np.count_nonzero(seen_NHW.any(axis=(1, 2))))
        return FrameSum(float(self.per_cell(forecast_NHW[seen_NHW], observed_NHW[seen_NHW]).sum()), frames)

    def value(self, totals: FrameSum) -> float:
        return totals.mean

    @abstractmethod
    def per_cell(self, forecast_mmh: FloatField, observed_mmh: FloatField) -> NDArray[np.float64]:
        """What each observed cell adds."""


class _Table(BasicContingencyManager):  # type: ignore[misc]
    """The formulas of the library `scores` on plain numbers: its own table of labelled arrays costs 3 ms each."""

    def __init__(self, counts: dict[str, np.float64]) -> None:
        self.counts = counts


def ratio(totals: Counts, method: str) -> float:
    """A score of the library `scores` by its method's name; NaN where it divides by 0."""
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
