"""Checks of the leads that a model returns, one lead after the other, so that no more than one is in memory."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, Final

import numpy as np
from numpy.typing import NDArray

from core.arrays import BoolField, Float32Field
from core.errors import ForecastError

if TYPE_CHECKING:  # models imports torch, which the web process loads later
    from models.leads import ForecastLead

ROUNDING: Final = 1e-5
"""Largest rise of a probability with its threshold that counts as rounding."""


class ProbabilityError(ForecastError):
    """Probabilities that cannot be used; the rates of the same forecast may be."""


@dataclass(frozen=True)
class Expected:
    """What the leads of a forecast must be like.

    Attributes:
        newest_mmh_HW: the newest input field.
        lead_steps: number of leads.
        thresholds_mmh: of the probabilities; empty if they are left out.
    """

    newest_mmh_HW: Float32Field
    lead_steps: int
    thresholds_mmh: tuple[float, ...]


def checked_leads(leads: Iterable["ForecastLead"], expected: Expected) -> Iterator["ForecastLead"]:
    """Yield the leads, NaN and not known where the newest input is not observed. Their arrays are changed in place.

    Raises:
        ForecastError: the rates have another shape, or are not finite or negative where the newest input has a rate, or
            there are more or fewer leads.
        ProbabilityError: the probabilities are not those of ascending thresholds.
    """
    observed_HW = np.isfinite(expected.newest_mmh_HW)
    number = 0
    for lead in leads:
        number += 1
        rate_mmh_HW, known_HW = _rates(lead, observed_HW, expected.lead_steps)
        probability_KHW = _probabilities(lead, observed_HW, expected) if expected.thresholds_mmh else None
        yield replace(lead, rate_mmh_HW=rate_mmh_HW, known_HW=known_HW, exceedance_probability_KHW=probability_KHW)
        del lead, rate_mmh_HW, known_HW, probability_KHW  # freed before the next lead is computed
    if number != expected.lead_steps:
        raise ForecastError(f"expected {expected.lead_steps} leads, got {number}")


def _rates(lead: "ForecastLead", observed_HW: BoolField, lead_steps: int) -> tuple[Float32Field, BoolField]:
    """Return the rate, and where it is known."""
    for name, found_HW in (("rates", lead.rate_mmh_HW), ("known", lead.known_HW)):
        if found_HW.shape != observed_HW.shape:
            wanted, got = ((lead_steps, *shape) for shape in (observed_HW.shape, found_HW.shape))
            raise ForecastError(f"{name}: expected fields of {wanted}, got {got}")
    rate_mmh_HW, known_HW = _own(lead.rate_mmh_HW), _own(lead.known_HW)
    bad = int((~(np.isfinite(rate_mmh_HW) & (rate_mmh_HW >= 0)) & observed_HW).sum())
    if bad:
        raise ForecastError(f"expected rain rates where the newest input has one, got {bad} other values")
    rate_mmh_HW[~observed_HW] = np.nan
    known_HW &= observed_HW
    return rate_mmh_HW, known_HW


def _probabilities(lead: "ForecastLead", observed_HW: BoolField, expected: Expected) -> Float32Field:
    """Return the probabilities, NaN where the newest input is not observed."""
    found_KHW, thresholds = lead.exceedance_probability_KHW, expected.thresholds_mmh
    if found_KHW is None:
        raise ProbabilityError(f"expected those of {thresholds} mm/h, got none")
    if found_KHW.shape != (len(thresholds), *observed_HW.shape) or list(thresholds) != sorted(set(thresholds)):
        wanted = (len(thresholds), expected.lead_steps, *observed_HW.shape)
        got = (found_KHW.shape[0], expected.lead_steps, *found_KHW.shape[1:])
        raise ProbabilityError(f"expected fields of {wanted} and ascending thresholds, got {got} for {thresholds} mm/h")
    found_KHW, bad, rising = _own(found_KHW), 0, 0
    below_HW = None
    for field_HW in found_KHW:
        bad += int((~((field_HW >= 0) & (field_HW <= 1)) & observed_HW).sum())
        if below_HW is not None:
            rising += int(((field_HW - below_HW > ROUNDING) & observed_HW).sum())
        field_HW[~observed_HW] = np.nan
        below_HW = field_HW
    if bad:
        raise ProbabilityError(f"expected values within 0 to 1 where the newest input has a rate, got {bad} others")
    if rising:
        raise ProbabilityError(f"expected values that do not rise with the threshold, got {rising} that do")
    return found_KHW


def _own(array: NDArray[Any]) -> NDArray[Any]:
    """Return an array that may be changed: a model may return a read-only view of its input."""
    return array if array.flags.writeable else array.copy()
