"""Exceedance probabilities of a forecast in a block and as a picture; NaN and None are unknown."""

from collections.abc import Sequence

import numpy as np
import xarray as xr

from core.arrays import Float32Field
from core.colours import CHANCE_COLOURS
from service.forecasts.fields import FIELDS
from service.forecasts.image import image_png, visible_scale
from service.forecasts.probabilities import Probabilities, threshold_index, with_probabilities
from service.forecasts.products import lead_index
from service.forecasts.records import StoredForecast
from service.queries.regions import BoxField, box_dataset


def box_probabilities(
    forecast: StoredForecast, box: BoxField, thresholds_mmh: Sequence[float] | None = None
) -> Probabilities:
    """Return the probabilities in a box; NaN at grid cells outside its mask.

    Args:
        forecast: whose probabilities.
        box: which grid cells.
        thresholds_mmh: only these; None for all.

    Raises:
        NoDataError: no such threshold, or no probabilities.
    """
    known = forecast.thresholds_mmh
    chosen = [
        threshold_index(known, wanted_mmh) for wanted_mmh in (known if thresholds_mmh is None else thresholds_mmh)
    ]
    block = FIELDS.read(forecast).block(box.block.slices)
    found_NTHW = np.stack([block.probabilities[one][...] for one in chosen])
    return Probabilities(tuple(known[one] for one in chosen), np.where(box.mask_HW, found_NTHW, np.float32("nan")))


def whole_box(forecast: StoredForecast, box: BoxField) -> xr.Dataset:
    """Return the box as CF data set with all variables of the forecast's file."""
    dataset = box_dataset(forecast, box)
    return with_probabilities(dataset, box_probabilities(forecast, box)) if forecast.thresholds_mmh else dataset


def probability_field(forecast: StoredForecast, lead: int, threshold_mmh: float) -> Float32Field:
    """Return the field of a lead, by its index.

    Raises:
        NoDataError: no such threshold, or no probabilities.
    """
    index = threshold_index(forecast.thresholds_mmh, threshold_mmh)
    return FIELDS.read(forecast).probability_HW(lead, index)


def probability_png(forecast: StoredForecast, lead_minutes: int, threshold_mmh: float) -> bytes:
    """Return the picture of a lead.

    Raises:
        NoDataError: no such lead or threshold, or no probabilities.
    """
    lead = lead_index(forecast, lead_minutes)
    return image_png(
        probability_field(forecast, lead, threshold_mmh),
        scale=visible_scale(forecast.grid.shape),
        classes=CHANCE_COLOURS,
        known_HW=FIELDS.read(forecast).known_HW(lead),
    )
