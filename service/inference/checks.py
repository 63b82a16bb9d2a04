"""Checks of a model's result, so that only rain rates and probabilities are served."""

from dataclasses import replace
from typing import TYPE_CHECKING, Final

import numpy as np

from core.arrays import BoolField, Float32Field
from core.errors import ForecastError

if TYPE_CHECKING:  # models imports torch, which the web process loads later
    from models.fields import ForecastFields

ROUNDING: Final = 1e-5
"""A probability may rise with its threshold by this much."""


def checked(
    fields: "ForecastFields", newest_mmh_HW: Float32Field, lead_steps: int
) -> tuple["ForecastFields", tuple[str, ...]]:
    """Return the fields, NaN and not known where the newest input is not observed, and notes.

    Probabilities that are unusable are left out with a note; the rates stay.

    Raises:
        ForecastError: the rates have another shape, or are not finite or negative where the newest input has a rate.
    """
    observed_HW = np.isfinite(newest_mmh_HW)
    shape = (lead_steps, *newest_mmh_HW.shape)
    for name, found_LHW in (("rates", fields.rate_mmh_LHW), ("known", fields.known_LHW)):
        if found_LHW.shape != shape:
            raise ForecastError(f"{name}: expected fields of {shape}, got {found_LHW.shape}")
    bad = ~(np.isfinite(fields.rate_mmh_LHW) & (fields.rate_mmh_LHW >= 0)) & observed_HW
    if bad.any():
        raise ForecastError(f"{int(bad.sum())} values that are no rain rate, where the newest input has one")
    fields = replace(
        fields,
        rate_mmh_LHW=np.where(observed_HW, fields.rate_mmh_LHW, np.float32("nan")),
        known_LHW=fields.known_LHW & observed_HW,
    )
    if fields.exceedance_probability_KLHW is None:
        return replace(fields, thresholds_mmh=()), ()
    try:
        return replace(fields, exceedance_probability_KLHW=_probabilities(fields, observed_HW)), ()
    except ForecastError as err:
        without = replace(fields, exceedance_probability_KLHW=None, thresholds_mmh=())
        return without, (f"its probabilities are left out: {err}",)


def _probabilities(fields: "ForecastFields", observed_HW: BoolField) -> Float32Field:
    """Return the probabilities, NaN where the newest input is not observed.

    Raises:
        ForecastError: they cannot be probabilities of these thresholds.
    """
    thresholds, found_KLHW = fields.thresholds_mmh, fields.exceedance_probability_KLHW
    assert found_KLHW is not None
    shape = (len(thresholds), *fields.rate_mmh_LHW.shape)
    if found_KLHW.shape != shape or not thresholds or list(thresholds) != sorted(set(thresholds)):
        raise ForecastError(
            f"expected fields of {shape} and ascending thresholds, got {found_KLHW.shape} for {thresholds} mm/h"
        )
    bad_KLHW = ~((found_KLHW >= 0) & (found_KLHW <= 1)) & observed_HW
    if bad_KLHW.any():
        raise ForecastError(f"{int(bad_KLHW.sum())} values are not within 0 to 1, where the newest input has a rate")
    rising = int(((np.diff(found_KLHW, axis=0) > ROUNDING) & observed_HW).sum())
    if rising:
        raise ForecastError(f"{rising} values rise with the threshold")
    return np.where(observed_HW, found_KLHW, np.float32("nan"))
