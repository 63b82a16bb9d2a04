"""Isotonic calibration of probabilities by cell size, lead and threshold, piecewise linear between knots."""

from dataclasses import dataclass
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import isotonic_regression

from core.arrays import Float32Field

MOST_KNOTS: Final = 40
TRUSTED_EVENTS: Final = 150
"""Events in a bin, observed or expected, at which the observed frequency counts as much as the model's probability."""
Knots = tuple[tuple[float, ...], tuple[float, ...]]


@dataclass(frozen=True)
class Calibration:
    """Knots (forecast probability, observed frequency) by lead and threshold; later leads share the last."""

    knots: tuple[tuple[Knots, ...], ...]

    def __call__(self, probability_LKHW: Float32Field) -> Float32Field:
        """Return calibrated probabilities of the same shape."""
        result_LKHW = np.empty_like(probability_LKHW)
        for lead, probability_KHW in enumerate(probability_LKHW):
            own = self.knots[min(lead, len(self.knots) - 1)]
            for number, probability_HW in enumerate(probability_KHW):
                forecast, observed = own[number]
                result_LKHW[lead, number] = np.interp(probability_HW, forecast, observed)
        return result_LKHW

    def to_dict(self) -> dict[str, Any]:
        """Return the JSON form that a checkpoint's card stores."""
        return {"knots": [[[list(forecast), list(observed)] for forecast, observed in lead] for lead in self.knots]}

    @classmethod
    def from_dict(cls, values: dict[str, Any]) -> "Calibration":
        """Return the calibration of a `to_dict`."""
        return cls(
            tuple(tuple((tuple(forecast), tuple(observed)) for forecast, observed in lead) for lead in values["knots"])
        )


@dataclass(frozen=True)
class CalibrationByCell:
    """A calibration for each of several cell sizes; between two sizes, both count, by the logarithm of the size.

    The same rain is harder to forecast on small cells: a probability that verifies in 70 % of cases on cells of 6 km
    does so in 50 % on cells of 2 km. Small cells can only lower the calibrated probability of the largest. (Where they
    would raise it, rain entered the squares that were cut out for them; around one radar there need not be any.)

    Attributes:
        pixels_m: edges of the cells, ascending.
        calibrations: one for each edge.
    """

    pixels_m: tuple[float, ...]
    calibrations: tuple[Calibration, ...]

    def __call__(self, probability_LKHW: Float32Field, pixel_m: float) -> Float32Field:
        """Return calibrated probabilities for cells of this edge; beyond the known sizes those of the nearest size."""
        place = float(np.interp(np.log(pixel_m), np.log(self.pixels_m), np.arange(len(self.pixels_m))))
        lower, share = int(place), np.float32(place % 1)
        each = [calibration(probability_LKHW) for calibration in self.calibrations[lower:]]
        if len(each) == 1:
            return each[0]
        return np.minimum(each[0] + share * (each[1] - each[0]), each[-1])

    def to_dict(self) -> dict[str, Any]:
        """Return the JSON form that a checkpoint's card stores."""
        pairs = zip(self.pixels_m, self.calibrations, strict=True)
        return {"by_cell": [{"pixel_m": pixel_m, **calibration.to_dict()} for pixel_m, calibration in pairs]}

    @classmethod
    def from_dict(cls, values: dict[str, Any]) -> "CalibrationByCell":
        """Return the calibration of a `to_dict`, or of a card with one calibration for all sizes."""
        each = values.get("by_cell") or [{"pixel_m": 1.0, **values}]
        return cls(tuple(float(one["pixel_m"]) for one in each), tuple(Calibration.from_dict(one) for one in each))


def fitted_knots(
    probability_N: NDArray[np.float64], event_N: NDArray[np.bool_], weight_N: NDArray[np.float64]
) -> Knots:
    """Fit the knots of one lead and threshold: means of probability and event in bins of equal weight, made monotonic.

    Args:
        probability_N: uncalibrated, of held-out cells.
        event_N: whether the threshold was reached.
        weight_N: of the cells; chosen so that events count alike.
    """
    order = np.argsort(probability_N, kind="stable")
    forecast_N, weight_N = probability_N[order], weight_N[order]
    passed_N = np.cumsum(weight_N * (0.02 + forecast_N))  # finer bins where the probability is higher
    bin_N = np.minimum((passed_N / passed_N[-1] * MOST_KNOTS).astype(np.intp), MOST_KNOTS - 1)
    weight_B = np.bincount(bin_N, weight_N, MOST_KNOTS)
    occupied_B = weight_B > 0
    forecast_B = np.bincount(bin_N, weight_N * forecast_N, MOST_KNOTS)[occupied_B] / weight_B[occupied_B]
    observed_B = np.bincount(bin_N, weight_N * event_N[order], MOST_KNOTS)[occupied_B] / weight_B[occupied_B]
    events_B = np.maximum(
        *(np.bincount(bin_N, number_N, MOST_KNOTS)[occupied_B] for number_N in (event_N[order], forecast_N))
    )
    trust_B = events_B / (events_B + TRUSTED_EVENTS)
    mixed_B = trust_B * observed_B + (1 - trust_B) * forecast_B
    return _closed(forecast_B, isotonic_regression(mixed_B, weights=weight_B[occupied_B]).x)


def _closed(forecast_B: NDArray[np.float64], observed_B: NDArray[np.float64]) -> Knots:
    """Return knots from (0, 0) to (1, 1), each probability once."""
    forecast_B, first_B = np.unique(forecast_B.round(6), return_index=True)
    observed_B = observed_B[first_B].round(6)
    inner = (forecast_B > 0) & (forecast_B < 1)
    forecast = (0.0, *forecast_B[inner].tolist(), 1.0)
    return forecast, (0.0, *observed_B[inner].tolist(), 1.0)
