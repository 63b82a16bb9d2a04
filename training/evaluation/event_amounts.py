"""Amounts of the next hour on windows of events: forecasts and observation as fields in mm, at one lead."""

import contextlib
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Final

import numpy as np

from core.arrays import Float32Field
from training.evaluation.event_windows import EventWindow
from training.evaluation.window_forecasts import FILLED, LeadFields
from verification.amounts import periods

AMOUNTS_MM: Final = (1.0, 5.0, 10.0, 15.0, 25.0, 40.0)
"""Amounts of an hour or two; DWD's warnings of heavy rain begin at 15 and 25 mm an hour."""

NEARBY_MM: Final = (1.0, 5.0, 10.0)
"""Amounts of the scores of a neighbourhood."""


def as_amounts(
    fields: Mapping[str, LeadFields],
    window: EventWindow,
    minutes: int,
    thresholds_mm: Sequence[float] = AMOUNTS_MM,
) -> tuple[dict[str, LeadFields], EventWindow]:
    """Return forecasts and observation of the amount of the first period, as one lead at its end, in mm.

    An amount is the mean of the rates at the leads of the period, of those that a model has at its own cadence; a model
    whose leads do not fill the period is left out. Probabilities are shares of the members.

    Args:
        fields: forecasts of rates by row.
        window: observation of rates at every lead of the period.
        minutes: length of the period.
        thresholds_mm: of the probabilities.
    """
    amounts: dict[str, LeadFields] = {}
    for name, one in fields.items():
        leads = _first_period(one.lead_minutes, minutes)
        if leads is None:
            continue
        rate_mmh_LHW = np.nan_to_num(one.rate_mmh_LHW[leads]) if name in FILLED else one.rate_mmh_LHW[leads]
        amount = LeadFields(
            (minutes,),
            _amount(rate_mmh_LHW, minutes),
            None if one.known_LHW is None else np.asarray(one.known_LHW[leads].all(axis=0))[None],
        )
        if one.members_MLHW is not None:
            member_MLHW = _amount(one.members_MLHW[:, leads], minutes)
            shares = [(member_MLHW >= mm).mean(axis=0, dtype=np.float32) for mm in thresholds_mm]
            amount = replace(
                amount,
                probability_KLHW=np.stack(shares),
                thresholds_mmh=tuple(thresholds_mm),
                members_MLHW=member_MLHW,
            )
        amounts[name] = amount
    leads = _first_period(window.lead_minutes, minutes)
    observed_LHW = window.future_LHW[leads or slice(0)]
    return amounts, replace(window, lead_minutes=(minutes,), future_LHW=_amount(observed_LHW, minutes))


def _first_period(lead_minutes: Sequence[int], minutes: int) -> slice | None:
    with contextlib.suppress(ValueError):
        return periods(lead_minutes, minutes)[minutes]
    return None


def _amount(rate_mmh: Float32Field, minutes: int) -> Float32Field:
    """Return the amount in mm of rates at the leads of a period, (..., L, H, W); one lead remains."""
    mean_mmh = rate_mmh.mean(axis=-3, keepdims=True, dtype=np.float64)
    return np.asarray(mean_mmh * (minutes / 60), np.float32)
