"""Isotonic correction of probabilities, per cell size, lead and threshold, as straight lines between knots."""

from dataclasses import dataclass
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import isotonic_regression

from core.arrays import Float32Field

MOST_KNOTS: Final = 40
TRUSTED_EVENTS: Final = 150
"""Events in a bin, seen or expected, at which its frequency counts as much as the model's own word."""
Knots = tuple[tuple[float, ...], tuple[float, ...]]


@dataclass(frozen=True)
class Calibration:
    """Knots (probability as it came, frequency of the event) by lead and threshold; later leads share the last."""

    knots: tuple[tuple[Knots, ...], ...]

    def __call__(self, probability_LKHW: Float32Field) -> Float32Field:
        """Corrected probabilities of the same shape."""
        result_LKHW = np.empty_like(probability_LKHW)
        for lead, chance_KHW in enumerate(probability_LKHW):
            own = self.knots[min(lead, len(self.knots) - 1)]
            for number, chance_HW in enumerate(chance_KHW):
                said, seen = own[number]
                result_LKHW[lead, number] = np.interp(chance_HW, said, seen)
        return result_LKHW

    def to_dict(self) -> dict[str, Any]:
        """As a card keeps it."""
        return {"knots": [[[list(said), list(seen)] for said, seen in lead] for lead in self.knots]}

    @classmethod
    def from_dict(cls, values: dict[str, Any]) -> "Calibration":
        """From `to_dict`."""
        return cls(tuple(tuple((tuple(said), tuple(seen)) for said, seen in lead) for lead in values["knots"]))


@dataclass(frozen=True)
class CalibrationByCell:
    """A calibration for each of some cell sizes; between two of them both count, by the logarithm of the size.

    The same rain is harder to foresee on small cells: what comes true seven times in ten on cells of 6 km does so five
    times in ten on cells of 2 km. Small cells only lower what is said on the largest. (Where they would raise it, rain
    came into squares that were cut out of it; around one radar there need not be any.)

    Attributes:
        pixels_m: edges of the cells, rising.
        calibrations: one for each.
    """

    pixels_m: tuple[float, ...]
    calibrations: tuple[Calibration, ...]

    def __call__(self, probability_LKHW: Float32Field, pixel_m: float) -> Float32Field:
        """Corrected probabilities of the same shape for cells of this edge; beyond the sizes that of the nearest."""
        place = float(np.interp(np.log(pixel_m), np.log(self.pixels_m), np.arange(len(self.pixels_m))))
        lower, share = int(place), np.float32(place % 1)
        each = [calibration(probability_LKHW) for calibration in self.calibrations[lower:]]
        if len(each) == 1:
            return each[0]
        return np.minimum(each[0] + share * (each[1] - each[0]), each[-1])

    def to_dict(self) -> dict[str, Any]:
        """As a card keeps it."""
        pairs = zip(self.pixels_m, self.calibrations, strict=True)
        return {"by_cell": [{"pixel_m": pixel_m, **calibration.to_dict()} for pixel_m, calibration in pairs]}

    @classmethod
    def from_dict(cls, values: dict[str, Any]) -> "CalibrationByCell":
        """From `to_dict`, or from a card with one calibration for every size."""
        each = values.get("by_cell") or [{"pixel_m": 1.0, **values}]
        return cls(tuple(float(one["pixel_m"]) for one in each), tuple(Calibration.from_dict(one) for one in each))


def fitted_knots(
    probability_N: NDArray[np.float64], event_N: NDArray[np.bool_], weight_N: NDArray[np.float64]
) -> Knots:
    """Knots of one lead and threshold: means of probability and event in bins of equal weight, made to rise.

    Args:
        probability_N: as it came, of held-out cells.
        event_N: whether the rate was reached.
        weight_N: of the cells; such as to make events count alike.
    """
    order = np.argsort(probability_N, kind="stable")
    said_N, weight_N = probability_N[order], weight_N[order]
    passed_N = np.cumsum(weight_N * (0.02 + said_N))  # finer bins where the probability is higher
    bin_N = np.minimum((passed_N / passed_N[-1] * MOST_KNOTS).astype(np.intp), MOST_KNOTS - 1)
    weight_B = np.bincount(bin_N, weight_N, MOST_KNOTS)
    there_B = weight_B > 0
    said_B = np.bincount(bin_N, weight_N * said_N, MOST_KNOTS)[there_B] / weight_B[there_B]
    seen_B = np.bincount(bin_N, weight_N * event_N[order], MOST_KNOTS)[there_B] / weight_B[there_B]
    events_B = np.maximum(*(np.bincount(bin_N, number_N, MOST_KNOTS)[there_B] for number_N in (event_N[order], said_N)))
    trust_B = events_B / (events_B + TRUSTED_EVENTS)
    mixed_B = trust_B * seen_B + (1 - trust_B) * said_B
    return _ended(said_B, isotonic_regression(mixed_B, weights=weight_B[there_B]).x)


def _ended(said_B: NDArray[np.float64], seen_B: NDArray[np.float64]) -> Knots:
    """Knots from (0, 0) to (1, 1), each probability once."""
    said_B, first_B = np.unique(said_B.round(6), return_index=True)
    seen_B = seen_B[first_B].round(6)
    inner = (said_B > 0) & (said_B < 1)
    said = (0.0, *said_B[inner].tolist(), 1.0)
    return said, (0.0, *seen_B[inner].tolist(), 1.0)
