"""Forecasts of one lead time, the observation at that time, and the grid cells that count."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property

import numpy as np

from core.arrays import BoolField, Float32Field
from verification.table import Mask


@dataclass(frozen=True)
class Exceedance:
    """Exceedance probabilities of one lead; NaN is not known."""

    thresholds_mmh: tuple[float, ...]
    probability_KHW: Float32Field


@dataclass(frozen=True)
class ComparedLead:
    """All models of one lead on the same grid cells.

    Attributes:
        lead_minutes: lead time.
        rates: forecast rate by model, mm/h, finite in every mask.
        observed_HW: mm/h, finite in every mask.
        masks: grid cells that count.
        exceedance: by model, of those with probabilities.
        pixel_m: edge of a grid cell.
        members: ensemble members (M, H, W) by model, of those with members; mm/h, NaN is not known.
        period_minutes: all fields are amounts in mm over that time, which end at the lead; None for rates.
    """

    lead_minutes: int
    rates: Mapping[str, Float32Field]
    observed_HW: Float32Field
    masks: Mapping[Mask, BoolField]
    exceedance: Mapping[str, Exceedance] = field(default_factory=dict)
    pixel_m: float = 1000.0
    members: Mapping[str, Float32Field] = field(default_factory=dict)
    period_minutes: int | None = None

    @cached_property
    def observed_in(self) -> dict[Mask, Float32Field]:
        """Return the observation by mask, NaN outside of it."""
        nan = np.float32(np.nan)
        return {mask: np.where(mask_HW, self.observed_HW, nan) for mask, mask_HW in self.masks.items()}
