"""Scores of events that are reached nearby: within half of a window's edge in both directions."""

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from core.arrays import BoolField, Float64Field, FloatField
from verification.counts import Counts
from verification.lead import ComparedLead
from verification.scores.base import SCORES, Score, Takes
from verification.scores.brier import BrierSums, brier_sums
from verification.scores.csi import CSI
from verification.scores.frames import as_frames
from verification.scores.members import check_members
from verification.scores.probability import ProbabilityScore, check_probabilities
from verification.sums import NANO, Sums, quotient
from verification.table import Mask, SumRow


@SCORES.register("near-csi")
@dataclass(frozen=True)
class NearCSI(Score[Counts]):
    """CSI of the event "reached anywhere in the square around a cell"; 20 km is within 10 km in both directions.

    Cells that one side did not observe neither count nor have an event.

    Attributes:
        threshold_mmh: an event is a rate at or above it.
        window_cells: edge of the square in cells, odd.
    """

    sums: ClassVar[type[Sums]] = Counts
    family: ClassVar[str | None] = "near-counts"
    operational: ClassVar[bool] = False
    title: ClassVar[str | None] = "Critical success index of events nearby"
    threshold_mmh: float = 1.0
    window_cells: int = 21

    def totals(self, forecast: FloatField, observed: FloatField) -> Counts:
        forecast_NHW, observed_NHW = as_frames(forecast, observed)
        seen_NHW = np.isfinite(forecast_NHW) & np.isfinite(observed_NHW)
        return _counts(_reached(forecast_NHW, seen_NHW, self), _reached(observed_NHW, seen_NHW, self))

    def value(self, totals: Counts) -> float:
        return CSI().value(totals)

    def values(self, table: Float64Field) -> Float64Field:
        return CSI().values(table)

    @classmethod
    def compare(
        cls,
        family: str,
        lead: ComparedLead,
        thresholds_mmh: Sequence[float],
        windows_km: Sequence[float],
        masks: Sequence[Mask],
    ) -> Iterator[SumRow]:
        """Yield the rows of one lead; the observation is searched once for all models."""
        for threshold, window_km, score in cls.variants(thresholds_mmh, windows_km, lead.pixel_m):
            for mask in masks:
                seen_HW = lead.masks[mask]
                observed_N = _reached(lead.observed_HW, seen_HW, score)
                for model, rate_HW in lead.rates.items():
                    sums = _counts(_reached(rate_HW, seen_HW, score), observed_N)
                    yield SumRow(model, lead.lead_minutes, family, sums, threshold, window_km, mask)


@SCORES.register("near-brier")
@dataclass(frozen=True)
class NearBrier(ProbabilityScore[BrierSums]):
    """Brier score of "reached anywhere in the square around a cell", by the largest probability in the square.

    That is the smallest probability that a forecast of cells allows: how far the cells of a square get wet together is
    not in it. Members have that (`near-brier-members`).

    Attributes:
        window_cells: edge of the square in cells, odd.
    """

    sums: ClassVar[type[Sums]] = BrierSums
    best: ClassVar[float] = 0.0
    operational: ClassVar[bool] = False
    title: ClassVar[str | None] = "Brier score of events nearby"
    window_cells: int = 21

    def totals(self, forecast: FloatField, observed: FloatField) -> BrierSums:
        check_probabilities(forecast, observed)
        seen = np.isfinite(forecast) & np.isfinite(observed)
        probability = _largest(np.where(seen, forecast, 0.0), self.window_cells)
        return brier_sums(probability[seen].astype(np.float64), _reached(observed, seen, self))

    def value(self, totals: BrierSums) -> float:
        return totals.squares / totals.cells if totals.cells else math.nan

    def values(self, table: Float64Field) -> Float64Field:
        return quotient(table[..., 0], NANO * table[..., 2])


@SCORES.register("near-brier-members")
@dataclass(frozen=True)
class NearBrierMembers(Score[BrierSums]):
    """Brier score of "reached anywhere in the square around a cell", by the share of members that reach it.

    The neighbourhood maximum ensemble probability of Schwartz and Sobash (2017).

    Attributes:
        threshold_mmh: an event is a rate at or above it.
        window_cells: edge of the square in cells, odd.
    """

    sums: ClassVar[type[Sums]] = BrierSums
    takes: ClassVar[Takes] = "members"
    best: ClassVar[float] = 0.0
    operational: ClassVar[bool] = False
    title: ClassVar[str | None] = "Brier score of events nearby, of the members"
    threshold_mmh: float = 1.0
    window_cells: int = 21

    def totals(self, forecast: FloatField, observed: FloatField) -> BrierSums:
        check_members(forecast, observed)
        seen = np.isfinite(observed) & np.isfinite(forecast).all(axis=-3)
        reached_MN = [_reached(rate, seen, self) for rate in np.moveaxis(forecast, -3, 0)]
        return brier_sums(np.mean(reached_MN, axis=0), _reached(observed, seen, self))

    def value(self, totals: BrierSums) -> float:
        return totals.squares / totals.cells if totals.cells else math.nan

    def values(self, table: Float64Field) -> Float64Field:
        return quotient(table[..., 0], NANO * table[..., 2])


def _reached(rate_mmh: FloatField, seen: BoolField, score: "NearCSI | NearBrier | NearBrierMembers") -> BoolField:
    """Return whether the event is reached near each seen cell, in their order."""
    with np.errstate(invalid="ignore"):
        event = seen & (rate_mmh >= score.threshold_mmh)
    return np.asarray(_largest(event.view(np.uint8), score.window_cells)[seen], np.bool_)


def _largest(field: NDArray[Any], edge: int) -> NDArray[Any]:
    """Return the largest value in the square around each cell; nothing is beyond the edge."""
    import cv2  # here: a quarter of a second that the service does not need; SciPy is ten times as slow

    square, found = np.ones((edge, edge), np.uint8), np.empty_like(field)
    for index in np.ndindex(field.shape[:-2]):
        found[index] = cv2.dilate(field[index], square, borderType=cv2.BORDER_CONSTANT, borderValue=0)
    return found


def _counts(forecast_N: BoolField, observed_N: BoolField) -> Counts:
    hits = int(np.count_nonzero(forecast_N & observed_N))
    misses, false_alarms = (int(np.count_nonzero(event_N)) - hits for event_N in (observed_N, forecast_N))
    return Counts(hits, misses, false_alarms, len(observed_N) - hits - misses - false_alarms)
