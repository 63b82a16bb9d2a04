"""A polygon in the ensemble members of a forecast: how much of it reaches a rate, and its mean depth."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

from core.arrays import Float32Field, Float64Field
from service.forecasts.fields import FIELDS
from service.forecasts.members import MemberBlock, read_member_block
from service.forecasts.records import StoredForecast
from service.queries.areas import AreaWeights

CODES: Final = 256
QUANTILES: Final = (0.1, 0.5, 0.9)


@dataclass(frozen=True, eq=False)
class AreaEnsemble:
    """Ensemble members over a polygon; its area is that with data.

    Attributes:
        members: their number.
        share_MLK: share of the area at or above each threshold of the forecast, by member and lead.
        total_mm_ML: mean depth since the reference time; NaN where it is not known.
    """

    members: int
    share_MLK: Float64Field
    total_mm_ML: Float64Field

    def probability(self, lead: int, threshold: int, share: float) -> float:
        """Return the probability that at least this share of the area is at or above a threshold.

        Args:
            lead: its index.
            threshold: its index.
            share: above 0, at most 1.
        """
        return float((self.share_MLK[:, lead, threshold] >= share - 1e-9).mean())

    def total_mm(self, lead: int) -> tuple[float, ...] | None:
        """Return the `QUANTILES` of the mean depth from the reference time to a lead, by its index; None is unknown."""
        total_mm_M = self.total_mm_ML[:, lead]
        if np.isnan(total_mm_M).any():
            return None
        return tuple(np.quantile(total_mm_M, QUANTILES, method="hazen").tolist())


def area_ensemble(forecast: StoredForecast, weights: AreaWeights) -> AreaEnsemble | None:
    """Return the members over a polygon; None where they are not (yet) made, or no member's cell of it has data.

    Args:
        forecast: which one.
        weights: of the polygon on the forecast's grid.

    Raises:
        NoDataError: the files are not readable.
    """
    if weights.block is None or not weights.km2_HW.any():
        return None
    block = read_member_block(forecast, *weights.block.slices)
    if block is None:
        return None
    km2_MLC = _areas_by_code(block, _on_member_cells(weights.km2_HW, block))
    seen_MLC = km2_MLC * np.isfinite(block.table)
    area_ML = seen_MLC.sum(axis=-1)
    if not (area_ML > 0).all():
        return None
    shares = [(seen_MLC[..., block.table >= np.float32(mmh)]).sum(axis=-1) / area_ML for mmh in forecast.thresholds_mmh]
    mean_mmh_ML = (seen_MLC * np.nan_to_num(block.table, nan=0.0)).sum(axis=-1) / area_ML
    total_mm_ML = _totals(_now_mmh(forecast, weights), mean_mmh_ML, forecast.lead_minutes)
    return AreaEnsemble(len(mean_mmh_ML), np.stack(shares, axis=-1), total_mm_ML)


def _on_member_cells(km2_HW: Float64Field, block: MemberBlock) -> Float64Field:
    """Return the area of the polygon in each of the members' cells."""
    rows, cols = (size * block.factor for size in block.codes_MLHW.shape[2:])
    whole_HW = np.zeros((rows, cols))
    whole_HW[block.inner] = km2_HW
    parts = whole_HW.reshape(rows // block.factor, block.factor, cols // block.factor, block.factor)
    return np.asarray(parts.sum(axis=(1, 3)))


def _areas_by_code(block: MemberBlock, km2_HW: Float64Field) -> Float64Field:
    """Return the area with each code, by member and lead, (M, L, 256): everything else follows from it."""
    inside_HW = km2_HW > 0
    km2_N, codes_MLN = km2_HW[inside_HW], block.codes_MLHW[:, :, inside_HW]
    counted = [[np.bincount(codes_N, km2_N, CODES) for codes_N in codes_LN] for codes_LN in codes_MLN]
    return np.array(counted)


def _now_mmh(forecast: StoredForecast, weights: AreaWeights) -> float:
    """Return the mean rate of the newest scan over the polygon; NaN where it is not known."""
    analysis_mmh_HW: Float32Field | None = FIELDS.read(forecast).analysis_mmh_HW
    if analysis_mmh_HW is None or weights.block is None:
        return float("nan")
    rate_HW = analysis_mmh_HW[weights.block.slices]
    km2_HW = np.where(np.isfinite(rate_HW), weights.km2_HW, 0.0)
    return float((np.nan_to_num(rate_HW) * km2_HW).sum() / km2_HW.sum()) if km2_HW.any() else float("nan")


def _totals(now_mmh: float, mean_mmh_ML: Float64Field, lead_minutes: Sequence[int]) -> NDArray[np.float64]:
    """Return depths since the reference time by the trapezoid rule."""
    start_M1 = np.full((len(mean_mmh_ML), 1), now_mmh)
    snapshots_MN = np.concatenate([start_M1, mean_mmh_ML], axis=1)
    hours_L = np.diff([0, *lead_minutes]) / 60
    return np.cumsum((snapshots_MN[:, :-1] + snapshots_MN[:, 1:]) / 2 * hours_L, axis=1)
