"""Probabilities of a forecast at its cells: of a place, of a block, and as a picture; NaN and None are unknown."""

from collections.abc import Sequence

import numpy as np
import xarray as xr

from core.arrays import Float32Field
from core.colours import CHANCE_COLOURS
from service.forecasts.fields import CHANCES, FIELDS
from service.forecasts.image import image_png, visible_scale
from service.forecasts.probabilities import Probabilities, threshold_index, with_probabilities
from service.forecasts.products import lead_index
from service.forecasts.records import StoredForecast
from service.queries.regions import BoxField, box_dataset


def place_chances(forecast: StoredForecast, cell: tuple[int, int] | None) -> list[list[float | None]]:
    """Probabilities of a cell by lead and threshold; None everywhere off the grid, no threshold without any."""
    if cell is None or not forecast.thresholds_mmh:
        return [[None] * len(forecast.thresholds_mmh) for _ in forecast.lead_minutes]
    chance_TN = CHANCES.read(forecast).probability_NTHW[:, :, cell[0], cell[1]].T
    return [[round(float(one), 3) if np.isfinite(one) else None for one in chance_N] for chance_N in chance_TN]


def box_chances(
    forecast: StoredForecast, box: BoxField, thresholds_mmh: Sequence[float] | None = None
) -> Probabilities:
    """Probabilities of a box's cells; what is not wanted of them is NaN.

    Args:
        forecast: whose.
        box: which cells.
        thresholds_mmh: these alone; None is all.

    Raises:
        NoDataError: no such threshold, or no probabilities.
    """
    known = forecast.thresholds_mmh
    chosen = [
        threshold_index(known, wanted_mmh) for wanted_mmh in (known if thresholds_mmh is None else thresholds_mmh)
    ]
    found_NTHW = CHANCES.read(forecast).probability_NTHW[:, :, *box.block.slices][chosen]
    return Probabilities(tuple(known[one] for one in chosen), np.where(box.wanted_HW, found_NTHW, np.float32("nan")))


def whole_box(forecast: StoredForecast, box: BoxField) -> xr.Dataset:
    """The box as CF data set with all that the forecast's file has."""
    dataset = box_dataset(forecast, box)
    return with_probabilities(dataset, box_chances(forecast, box)) if forecast.thresholds_mmh else dataset


def chance_field(forecast: StoredForecast, lead: int, threshold_mmh: float) -> Float32Field:
    """The field of a lead, by its index.

    Raises:
        NoDataError: no such threshold, or no probabilities.
    """
    index = threshold_index(forecast.thresholds_mmh, threshold_mmh)
    return np.asarray(CHANCES.read(forecast).probability_NTHW[index, lead])


def chance_png(forecast: StoredForecast, lead_minutes: int, threshold_mmh: float) -> bytes:
    """The picture of a lead.

    Raises:
        NoDataError: no such lead or threshold, or no probabilities.
    """
    lead = lead_index(forecast, lead_minutes)
    return image_png(
        chance_field(forecast, lead, threshold_mmh),
        scale=visible_scale(forecast.grid.shape),
        classes=CHANCE_COLOURS,
        known_HW=FIELDS.read(forecast).known_HW(lead),
    )
