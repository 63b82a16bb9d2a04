"""Amounts of rain over an hour or two as fields to be scored, in mm."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace

import numpy as np

from core.arrays import BoolField, Float32Field
from verification.lead import ComparedLead, Exceedance
from verification.verify import compared_leads


def amount_leads(
    forecasts: Mapping[str, Float32Field],
    observed_mmh_THW: Float32Field,
    lead_minutes: Sequence[int],
    *,
    minutes: int = 60,
    covered_HW: BoolField | None = None,
    filled: Sequence[str] = (),
    known_THW: BoolField | None = None,
    exceedance: Mapping[str, Sequence[Exceedance]] | None = None,
    pixel_m: float = 1000.0,
    members: Mapping[str, Float32Field] | None = None,
) -> Iterator[ComparedLead]:
    """Yield the amounts of 0 to `minutes`, `minutes` to 2 `minutes` and so on, as `compared_leads` yields rates.

    The thresholds of `sums_of` are then in mm, and its rows state the period. A cell counts where every rate of the
    period was observed, and is `known` where every forecast of the period is.

    Args:
        forecasts: rate in mm/h by model, each (T, H, W); each field stands for the interval that ends at its lead.
        observed_mmh_THW: mm/h at the same leads.
        lead_minutes: every lead from the first on, at one cadence.
        minutes: length of the period.
        covered_HW: where the newest scan of the input has a value.
        filled: models, the baselines, whose missing rates count as dry within `covered_HW`.
        known_THW: where the forecasts rest on something observed.
        exceedance: probabilities of amounts by model, one per period; their thresholds are in mm.
        pixel_m: edge of a grid cell.
        members: ensemble members by model, (M, T, H, W) in mm/h.

    Raises:
        ValueError: fields of different shapes, a lead is missing, or the leads end before the first period.
    """
    every = periods(lead_minutes, minutes)
    dry = dict.fromkeys(filled, covered_HW)
    leads = compared_leads(
        {model: _amounts(rate_mmh_THW, every, dry.get(model)) for model, rate_mmh_THW in forecasts.items()},
        _amounts(observed_mmh_THW, every),
        list(every),
        covered_HW=covered_HW,
        known_THW=None if known_THW is None else np.stack([known_THW[leads].all(axis=0) for leads in every.values()]),
        exceedance=exceedance,
        pixel_m=pixel_m,
        members={model: _amounts(member_MTHW, every) for model, member_MTHW in (members or {}).items()},
    )
    yield from (replace(lead, period_minutes=minutes) for lead in leads)


def _amounts(rate_mmh_THW: Float32Field, every: Mapping[int, slice], dry_HW: BoolField | None = None) -> Float32Field:
    """Return the amount of each period in mm; a missing rate counts as 0 where `dry_HW` is true."""
    if dry_HW is not None:
        rate_mmh_THW = np.where(np.isnan(rate_mmh_THW) & dry_HW, np.float32(0.0), rate_mmh_THW)
    (minutes, _), *_ = every.items()
    means = [rate_mmh_THW[..., leads, :, :].mean(axis=-3, dtype=np.float64) for leads in every.values()]
    return (np.stack(means, axis=-3) * (minutes / 60)).astype(np.float32)


def periods(lead_minutes: Sequence[int], minutes: int) -> dict[int, slice]:
    """Return the leads of each whole period, by the lead in minutes at which it ends.

    Raises:
        ValueError: a lead is missing, or the leads end before the first period.
    """
    cadence = lead_minutes[0] if len(lead_minutes) else 0
    if list(lead_minutes) != [cadence * number for number in range(1, len(lead_minutes) + 1)]:
        raise ValueError(f"expected every lead from the first on, got {list(lead_minutes)} minutes")
    if not cadence or minutes % cadence or minutes > lead_minutes[-1]:
        raise ValueError(f"expected leads that fill a period of {minutes} minutes, got {list(lead_minutes)} minutes")
    steps = minutes // cadence
    return {cadence * end: slice(end - steps, end) for end in range(steps, len(lead_minutes) + 1, steps)}
