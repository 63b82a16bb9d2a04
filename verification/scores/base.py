"""Interface of a score: sums that add up over chunks, and a value that is taken from them at the end.

Score
├── CategoricalScore   rain in mm/h: events at or above a threshold, any grid cells; all share the four counts
├── RainFrameScore     rain in mm/h: one value per frame, summed over its observed grid cells
├── PictureScore       pictures with values 0 to 1: one value per frame, the forecast clipped to 0 to 1 first
├── FSS                rain in mm/h: events in a neighbourhood
├── NearCSI            rain in mm/h: events anywhere in a neighbourhood
├── RateMAE            rain in mm/h: absolute error of a grid cell
├── PowerSpectrum      rain in mm/h: variance by wavelength
├── ProbabilityScore   probability of an event against rain in mm/h
├── CRPS               probabilities of exceeding several rates against rain in mm/h
├── MemberScore        ensemble members against rain in mm/h
└── NearBrierMembers   share of the members with an event anywhere in a neighbourhood
"""

import math
from abc import ABC, abstractmethod
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, fields
from itertools import product
from typing import Any, ClassVar, Generic, Literal, Self, TypeVar

import numpy as np

from core.arrays import Float64Field, FloatField
from core.registry import Registry
from verification.counts import Counts
from verification.lead import ComparedLead
from verification.sums import Sums
from verification.table import Mask, SumRow

T = TypeVar("T", bound=Sums)
Takes = Literal["rain", "pictures", "probabilities", "members"]


@dataclass(frozen=True)
class Score(ABC, Generic[T]):
    """A score; every parameter has a default.

    A parameter named `threshold_mmh`, `window_cells`, `pixel_m` or `thresholds_mmh` is set to each threshold, to each
    window, to the edge of a grid cell, or to all thresholds of a probability forecast; others keep their default.

    Attributes:
        sums: the columns from which the score is taken.
        family: name of the sums, if several scores share them; None is the name of the score.
        takes: `rain` in mm/h with NaN where not observed, `pictures` with values 0 to 1, or `probabilities` or
            ensemble `members` (axis M before the last two), whose observations are rain in mm/h.
        best: the value of a perfect forecast.
        operational: whether the service applies it to its forecasts.
        evaluated: whether an evaluation of forecasts applies it; the paper's errors are for training alone.
        masks: the masks of grid cells for which the service stores sums; the time grows with their number.
        title: name in words; None is the name in capitals.
        metric: name of the gauge in `/metrics` after `nowcast_`; None is the name of the score.
    """

    sums: ClassVar[type[Sums]]
    family: ClassVar[str | None] = None
    takes: ClassVar[Takes] = "rain"
    best: ClassVar[float] = 1.0
    operational: ClassVar[bool] = True
    evaluated: ClassVar[bool] = True
    masks: ClassVar[tuple[Mask, ...]] = ("all",)
    title: ClassVar[str | None] = None
    metric: ClassVar[str | None] = None

    @abstractmethod
    def totals(self, forecast: FloatField, observed: FloatField) -> T:
        """Return the sums of one chunk of whole frames, (..., H, W); a cell that one side lacks does not count."""

    @abstractmethod
    def value(self, totals: T) -> float:
        """Return the score of the summed totals; NaN where it is undefined."""

    def values(self, table: Float64Field) -> Float64Field:
        """Return the score of many sums at once, the last axis of which are the numbers of `Sums.flat`.

        A subclass may need no loop.
        """
        rows = table.reshape(-1, table.shape[-1])
        sums: list[Any] = [self.sums.from_flat([round(number) for number in row]) for row in rows.tolist()]
        return np.array([self.value(one) for one in sums], np.float64).reshape(table.shape[:-1])

    @classmethod
    def has(cls, parameter: str) -> bool:
        """Return whether the score has a parameter of that name."""
        return any(field.name == parameter for field in fields(cls))

    @classmethod
    def variants(
        cls, thresholds_mmh: Iterable[float], windows_km: Sequence[float], pixel_m: float
    ) -> Iterator[tuple[float | None, float | None, Self]]:
        """Yield (threshold, window, score) for each combination of the parameters that the score has."""
        of_grid = {"pixel_m": pixel_m} if cls.has("pixel_m") else {}
        windows = windows_km if cls.has("window_cells") else (None,)
        for threshold, window_km in product(thresholds_mmh if cls.has("threshold_mmh") else (None,), windows):
            given: dict[str, Any] = of_grid | ({} if threshold is None else {"threshold_mmh": threshold})
            if window_km is not None:
                given["window_cells"] = window_cells(window_km, pixel_m)
            yield threshold, window_km, cls(**given)

    @classmethod
    def compare(
        cls,
        family: str,
        lead: ComparedLead,
        thresholds_mmh: Sequence[float],
        windows_km: Sequence[float],
        masks: Sequence[Mask],
    ) -> Iterator[SumRow]:
        """Yield the rows of one lead by model, in masks of the lead; a subclass may need fewer passes over cells."""
        if cls.takes == "probabilities":
            yield from cls._compare_probabilities(family, lead, thresholds_mmh, windows_km, masks)
            return
        fields = lead.members if cls.takes == "members" else lead.rates
        for threshold, window_km, score in cls.variants(thresholds_mmh, windows_km, lead.pixel_m):
            for mask in masks:
                for model, forecast in fields.items():
                    sums = score.totals(forecast, lead.observed_in[mask])
                    yield SumRow(model, lead.lead_minutes, family, sums, threshold, window_km, mask)

    @classmethod
    def _compare_probabilities(
        cls,
        family: str,
        lead: ComparedLead,
        thresholds_mmh: Sequence[float],
        windows_km: Sequence[float],
        masks: Sequence[Mask],
    ) -> Iterator[SumRow]:
        for (model, found), mask in product(lead.exceedance.items(), masks):
            observed_HW = lead.observed_in[mask]
            if not cls.has("threshold_mmh"):
                given = {"thresholds_mmh": found.thresholds_mmh} if cls.has("thresholds_mmh") else {}
                sums = cls(**given).totals(found.probability_KHW, observed_HW)
                yield SumRow(model, lead.lead_minutes, family, sums, mask=mask)
                continue
            for threshold, probability_HW in zip(found.thresholds_mmh, found.probability_KHW, strict=True):
                if cls.has("window_cells") and threshold not in thresholds_mmh:
                    continue
                for _, window_km, score in cls.variants([threshold], windows_km, lead.pixel_m):
                    sums = score.totals(probability_HW, observed_HW)
                    yield SumRow(model, lead.lead_minutes, family, sums, threshold, window_km, mask)


SCORES: Registry[type[Score[Any]]] = Registry("score", plug_ins="nowcast.scores")


def families(*takes: Takes) -> dict[str, type[Score[Any]]]:
    """Return one score of each family of sums, by the name of the family, among the scores of such fields."""
    found: dict[str, type[Score[Any]]] = {}
    for name, kind in SCORES.items():
        if kind.takes in takes:
            found.setdefault(kind.family or name, kind)
    return found


def scores_of(family: str) -> list[str]:
    """Return the names of the scores that are taken from a family of sums, in the order of their registration."""
    return [name for name, kind in SCORES.items() if (kind.family or name) == family]


def value_of(name: str, sums: Sums) -> float | None:
    """Return a registered score of some sums; None where it is undefined.

    Raises:
        UnknownNameError: no score has that name.
        ValueError: the score is taken from other sums.
    """
    kind = SCORES.get(name)
    if kind.sums is not type(sums):
        raise ValueError(f"score {name!r} takes other totals than {type(sums).__name__}")
    value = kind().value(sums)
    return value if math.isfinite(value) else None


def values_of(sums: Sums, family: str) -> dict[str, float | None]:
    """Return every registered score of a family's sums by name; None where it is undefined."""
    return {name: value_of(name, sums) for name in scores_of(family)}


def values_of_counts(counts: Sequence[Counts], family: str) -> list[dict[str, float | None]]:
    """Return the same of many tables of counts, each score of all of them at once.

    Raises:
        ValueError: a score of the family is taken from other sums.
    """
    table = np.array([one.flat() for one in counts], np.float64).reshape(len(counts), len(Counts().flat()))
    columns = {}
    for name in scores_of(family):
        kind = SCORES.get(name)
        if kind.sums is not Counts:
            raise ValueError(f"score {name!r} takes other totals than Counts")
        columns[name] = [value if math.isfinite(value) else None for value in kind().values(table).tolist()]
    return [{name: column[index] for name, column in columns.items()} for index in range(len(counts))]


def window_cells(window_km: float, pixel_m: float) -> int:
    """Return the odd number of grid cells, at least 1, that is nearest to a window in km; of two, the larger."""
    return 1 + 2 * max(math.floor(window_km * 500 / pixel_m), 0)
