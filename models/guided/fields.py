"""Deterministic field by probability matching: the cells with the highest probabilities, over the expected area."""

from dataclasses import dataclass
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from core.arrays import BoolField, Float32Field
from core.errors import InputError
from core.records import RecordCodec

FAINT = 1e-6
LARGEST = 4.0
"""Maximum ratio of the sum of probabilities to the newest field's area; a smaller area is raised to it."""


@dataclass(frozen=True)
class ProbabilityMatching:
    """Settings of probability matching: the area over which a threshold is exceeded, and the rate within it.

    The area is `expected_cells` times a factor.

    Attributes:
        area: forecast cells per expected cell; a little above 1 gains more hits than it costs false alarms.
        heavy_area: the same from `heavy_mmh` up, where hits are so rare that more cells pay off.
        newest: weight of the newest field's area relative to the sum of probabilities.
        least: lowest probability at which a rate of `light_mmh` or more is shown.
        least_light: the same for lower rates; below it no higher rate is shown either, so that a dry field stays dry.
    """

    area: float = 1.1
    heavy_area: float = 1.4
    heavy_mmh: float = 5.0
    newest: float = 0.5
    least: float = 0.01
    least_light: float = 0.1
    light_mmh: float = 2.0

    def rate_mmh_LHW(
        self, probability_LKHW: Float32Field, newest_mmh_HW: Float32Field, rates_mmh: tuple[float, ...]
    ) -> Float32Field:
        """Return the rain rate by lead; at a threshold, exactly the cells of the expected area are at or above it."""
        seen_HW = np.isfinite(newest_mmh_HW)
        by_lead = [
            self._field(probability_KHW, newest_mmh_HW, seen_HW, rates_mmh) for probability_KHW in probability_LKHW
        ]
        return np.stack(by_lead).astype(np.float32)

    def _field(
        self,
        probability_KHW: Float32Field,
        newest_mmh_HW: Float32Field,
        seen_HW: BoolField,
        rates_mmh: tuple[float, ...],
    ) -> Float32Field:
        margin_KHW = np.full(probability_KHW.shape, -np.inf, np.float64)
        for number, mmh in enumerate(rates_mmh):
            probability_N = probability_KHW[number][seen_HW].astype(np.float64)
            covered = int(np.count_nonzero(newest_mmh_HW[seen_HW] >= mmh))
            cut = self.cut(probability_N, covered, self.heavy_area if mmh >= self.heavy_mmh else self.area)
            if cut is not None:
                least = self.least if mmh >= self.light_mmh else self.least_light
                margin_KHW[number] = _logit(probability_KHW[number]) - _logit(np.float64(max(cut, least)))
        return _between(np.minimum.accumulate(margin_KHW, axis=0), rates_mmh).astype(np.float32)

    def cut(self, probability_N: NDArray[np.float64], covered: int, area: float) -> float | None:
        """Return the lowest probability that counts as rain at or above the threshold; None if no cell does.

        Args:
            probability_N: of the cells that are forecast.
            covered: cells at or above the threshold in the newest field.
            area: forecast cells per expected cell.
        """
        cells = min(round(area * expected_cells(probability_N, covered, self.newest)), len(probability_N))
        if cells < 1:
            return None
        cut = float(np.partition(probability_N, len(probability_N) - cells)[len(probability_N) - cells])
        if (
            np.count_nonzero(probability_N >= cut) > 1.5 * cells + 1
        ):  # a plateau: too few cells are better than all of it
            higher_N = probability_N[probability_N > cut]
            if not higher_N.size:
                return None
            cut = float(higher_N.min())
        return cut


MATCHING: Final = RecordCodec(ProbabilityMatching, extra="forbid", error=InputError)
"""Codec between these settings and the key `rebuild` of a checkpoint's card, a name that shipped cards fix."""


def expected_cells(probability_N: NDArray[np.floating], covered: int, newest: float) -> float:
    """Return the expected number of cells: a geometric mean of the sum of probabilities and the newest field's area.

    The first is right if the probabilities are calibrated, the second if rain keeps its area.

    Args:
        probability_N: of the cells that are forecast.
        covered: cells at or above the threshold in the newest field.
        newest: weight of the newest field's area, 0 to 1.
    """
    expected = float(probability_N.sum(dtype=np.float64))
    return float(expected ** (1 - newest) * max(covered, expected / LARGEST) ** newest)


def _between(margin_KHW: NDArray[np.float64], rates_mmh: tuple[float, ...]) -> NDArray[np.float64]:
    """Interpolate the rate at which the margin is 0, logarithmically between thresholds; dry below the first one."""
    rate_mmh_HW = np.zeros(margin_KHW.shape[1:])
    logs_K = np.log(rates_mmh)
    for number, low in enumerate(logs_K):
        reached_HW = margin_KHW[number] >= 0
        above_HW = np.maximum(margin_KHW[number], 0.0)
        if number + 1 < len(logs_K):
            short_HW = np.minimum(np.maximum(-margin_KHW[number + 1], FAINT), 50.0)
            share_HW = np.minimum(above_HW / (above_HW + short_HW), 1 - 1e-4)
            here_HW = np.exp(low + share_HW * (logs_K[number + 1] - low))
        else:
            here_HW = np.exp(low + np.minimum(above_HW, 1.0) * 0.7)
        rate_mmh_HW = np.where(reached_HW, np.maximum(here_HW, rates_mmh[number]), rate_mmh_HW)
    return rate_mmh_HW


def _logit(probability: Any) -> Any:
    bounded = np.clip(np.asarray(probability, np.float64), 1e-7, 1 - 1e-7)
    return np.log(bounded) - np.log1p(-bounded)
