"""Exceedance probabilities of a forecast in a block and as a picture; NaN and None are unknown."""

import numpy as np

from core.arrays import Float32Field
from core.colours import CHANCE_COLOURS
from service.forecasts.fields import FIELDS
from service.forecasts.image import image_png, visible_scale
from service.forecasts.probabilities import threshold_index
from service.forecasts.products import lead_index
from service.forecasts.records import StoredForecast
from service.queries.regions import BoxField


def box_probability_THW(forecast: StoredForecast, box: BoxField, threshold_mmh: float) -> Float32Field:
    """Return the probabilities of a threshold in a box; NaN at grid cells outside its mask.

    Raises:
        NoDataError: no such threshold, or no probabilities.
    """
    index = threshold_index(forecast.thresholds_mmh, threshold_mmh)
    return np.stack([box.probability_HW(lead, index) for lead in range(len(box.lead_minutes))])


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
