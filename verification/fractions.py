"""The table of fraction sums: every model on the same cells, by lead, threshold and window (see `scores.fss`).

Numerator and denominator are kept and added up over forecasts; a mean of daily skill scores would be another number.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from core.arrays import Float32Field
from verification.scores.fss import FSS, FractionSums, fraction_sums, window_sums
from verification.verify import compared


@dataclass(frozen=True)
class FractionsOf:
    """Sums of one model at one lead, threshold and window."""

    model: str
    lead_minutes: int
    threshold_mmh: float
    window_km: float
    sums: FractionSums = field(default_factory=FractionSums)
    version: str | None = None

    @property
    def fss(self) -> float | None:
        """The fractions skill score; None where neither side has an event."""
        return FSS().value(self.sums) if self.sums.worst else None


def fractions_table(
    forecasts: Mapping[str, Float32Field],
    observed_mmh_THW: Float32Field,
    lead_minutes: Sequence[int],
    thresholds: Sequence[float],
    windows_km: Sequence[float],
    pixel_m: float,
) -> list[FractionsOf]:
    """Compare forecasts of the same leads with what was observed, in squares around every compared cell.

    Args:
        forecasts: rate in mm/h by model, each (T, H, W).
        observed_mmh_THW: mm/h at the same leads on the same grid; NaN is not observed.
        lead_minutes: one per field.
        thresholds: mm/h.
        windows_km: edges of the squares; each is the odd number of cells that comes nearest.
        pixel_m: size of a cell.
    """
    rows = []
    for index, lead in enumerate(lead_minutes):
        seen_HW = compared(forecasts, observed_mmh_THW, index)
        for window_km in windows_km:
            edge = FSS.of_km(thresholds[0], window_km, pixel_m).window_cells
            cells_N = _sums(seen_HW, edge)[seen_HW]
            for threshold in thresholds:
                true_N = _sums(seen_HW & _events(observed_mmh_THW[index], threshold), edge)[seen_HW] / cells_N
                for model, rate_mmh_THW in forecasts.items():
                    event_HW = seen_HW & _events(rate_mmh_THW[index], threshold)
                    sums = fraction_sums(_sums(event_HW, edge)[seen_HW] / cells_N, true_N)
                    rows.append(FractionsOf(model, lead, threshold, window_km, sums))
    return rows


def _events(rate_mmh_HW: Float32Field, threshold_mmh: float) -> NDArray[np.bool_]:
    with np.errstate(invalid="ignore"):
        return np.asarray(rate_mmh_HW >= threshold_mmh, np.bool_)


def _sums(there_HW: NDArray[np.bool_], edge: int) -> NDArray[np.int64]:
    return np.asarray(window_sums(there_HW[None], edge)[0], np.int64)
