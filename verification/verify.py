"""The table of a forecast's scores: every model on the same cells, by lead and threshold."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from core.arrays import Float32Field
from core.units import THRESHOLDS_MMH
from verification.counts import Counts, contingency


@dataclass(frozen=True)
class ScoreRow:
    """Counts of one model at one lead and threshold; `version` is None where it is not known, or of several."""

    model: str
    lead_minutes: int
    threshold_mmh: float
    counts: Counts
    version: str | None = None


def score_table(
    forecasts: Mapping[str, Float32Field],
    observed_mmh_THW: Float32Field,
    lead_minutes: Sequence[int],
    thresholds: Sequence[float] = THRESHOLDS_MMH,
) -> list[ScoreRow]:
    """Compare forecasts of the same leads with what was observed.

    Cells count where the observation and all forecasts of that lead are finite, so that hits + misses, and the sum
    of the four counts, agree between the models.

    Args:
        forecasts: rate in mm/h by model, each (T, H, W).
        observed_mmh_THW: mm/h at the same leads on the same grid; NaN is not observed.
        lead_minutes: one per field.
        thresholds: mm/h.

    Raises:
        ValueError: fields of two shapes, or another number of leads.
    """
    for model, rate_mmh_THW in forecasts.items():
        if rate_mmh_THW.shape != observed_mmh_THW.shape or len(lead_minutes) != len(observed_mmh_THW):
            raise ValueError(
                f"{model} of {rate_mmh_THW.shape} for {len(lead_minutes)} leads; {observed_mmh_THW.shape} was due"
            )
    rows = []
    for index, lead in enumerate(lead_minutes):
        compared_HW = compared(forecasts, observed_mmh_THW, index)
        observed_N = observed_mmh_THW[index][compared_HW]
        for model, rate_mmh_THW in forecasts.items():
            forecast_N = rate_mmh_THW[index][compared_HW]
            rows += [
                ScoreRow(model, lead, threshold, contingency(forecast_N, observed_N, threshold))
                for threshold in thresholds
            ]
    return rows


def compared(forecasts: Mapping[str, Float32Field], observed_mmh_THW: Float32Field, index: int) -> NDArray[np.bool_]:
    """Cells of one lead that count: observed, and with a value in every forecast."""
    seen_HW = np.isfinite(observed_mmh_THW[index])
    for rate_mmh_THW in forecasts.values():
        seen_HW = seen_HW & np.isfinite(rate_mmh_THW[index])
    return np.asarray(seen_HW, np.bool_)


def pooled(rows: Iterable[ScoreRow]) -> list[ScoreRow]:
    """Sum the counts of rows with the same model, lead and threshold over versions, in the order of their first."""
    sums: dict[tuple[str, int, float], ScoreRow] = {}
    for row in rows:
        key = (row.model, row.lead_minutes, row.threshold_mmh)
        before = sums.get(key, replace(row, counts=Counts()))
        version = row.version if row.version == before.version else None
        sums[key] = replace(row, counts=before.counts + row.counts, version=version)
    return list(sums.values())
