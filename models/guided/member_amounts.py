"""Amounts of the next hours from ensemble members: probabilities and quantiles."""

from collections.abc import Sequence
from typing import Final

import numpy as np

from core.amounts import ForecastAmounts
from core.arrays import Float32Field

PERIODS_MINUTES: Final = (60, 120)
THRESHOLDS_MM: Final = (1.0, 5.0, 10.0, 15.0, 25.0, 40.0)
"""DWD's warnings of heavy rain begin at 15 and 25 mm in an hour (level 2 and 3) and at 40 mm (level 4)."""
QUANTILES: Final = (0.1, 0.5, 0.9)


class AmountSums:
    """Sums of members since the newest scan, lead by lead: the trapezoid rule between snapshots of the rate.

    A period that ends between two leads takes the part of the interval until then.

    Args:
        newest_mmh_HW: at the reference time, on the cells of members; NaN makes the amount there NaN.
        members: number of members.
    """

    def __init__(self, newest_mmh_HW: Float32Field, members: int) -> None:
        self._minutes = 0.0
        self._before_mmh_MHW = np.repeat(newest_mmh_HW[None], members, axis=0)
        self._sum_mm_MHW = np.zeros_like(self._before_mmh_MHW)
        self._waiting = list(PERIODS_MINUTES)
        self._found: list[tuple[Float32Field, Float32Field]] = []

    def add(self, rate_mmh_MHW: Float32Field, minutes: float) -> None:
        """Add the members of the next lead, in ascending order; they are kept until the one after, and not changed.

        Args:
            rate_mmh_MHW: mm/h.
            minutes: of the lead.
        """
        if not self._waiting:
            return
        length = minutes - self._minutes
        while self._waiting and self._waiting[0] <= minutes + 1e-6:
            share = np.float32((self._waiting.pop(0) - self._minutes) / length)
            end_MHW = self._before_mmh_MHW + share * (rate_mmh_MHW - self._before_mmh_MHW)
            part_mm_MHW = (self._before_mmh_MHW + end_MHW) * (share * np.float32(length / 120))
            self._found.append(_described(self._sum_mm_MHW + part_mm_MHW))
        self._sum_mm_MHW += (self._before_mmh_MHW + rate_mmh_MHW) * np.float32(length / 120)
        self._before_mmh_MHW, self._minutes = rate_mmh_MHW, minutes

    def amounts(self) -> ForecastAmounts | None:
        """Return the amounts of the periods that the leads so far cover; None without any."""
        if not self._found:
            return None
        probabilities, quantiles = zip(*self._found, strict=True)
        minutes = PERIODS_MINUTES[: len(self._found)]
        return ForecastAmounts(minutes, THRESHOLDS_MM, np.stack(probabilities), QUANTILES, np.stack(quantiles))


def _described(sum_mm_MHW: Float32Field) -> tuple[Float32Field, Float32Field]:
    """Return the share of members at or above each threshold, and the quantiles; NaN where the amounts are."""
    missing_HW = np.isnan(sum_mm_MHW[0])
    shares = [(sum_mm_MHW >= np.float32(mm)).mean(axis=0, dtype=np.float32) for mm in THRESHOLDS_MM]
    probability_KHW = np.stack(shares)
    probability_KHW[:, missing_HW] = np.nan
    return probability_KHW, member_quantiles(sum_mm_MHW, QUANTILES)


def member_quantiles(values_M: Float32Field, quantiles: Sequence[float]) -> Float32Field:
    """Return quantiles over the members, (Q, ...): member i of M, ascending, is the quantile (i + 0.5) / M.

    Between two members it is linear, beyond them it is theirs. NaN in one member is NaN.
    """
    return np.quantile(values_M, quantiles, axis=0, method="hazen").astype(np.float32)
