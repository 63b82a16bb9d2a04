"""A forecast lead by lead, for a caller that keeps or writes one lead at a time."""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import count

import numpy as np

from core.arrays import BoolField, Float32Field
from models.fields import ForecastFields, MotionField


@dataclass(frozen=True, eq=False)
class ForecastLead:
    """Fields of one lead; their meaning, and that of NaN, is that of the same names in `ForecastFields`.

    Attributes:
        step: number of the lead, from 1.
        rate_mmh_HW: rain rate in mm/h.
        known_HW: whether it rests on something observed.
        exceedance_probability_KHW: by the forecaster's `thresholds_mmh`; None from one without probabilities.
        motion: of the rain, the same at every lead; None from a forecaster without motion of its own.
    """

    step: int
    rate_mmh_HW: Float32Field
    known_HW: BoolField
    exceedance_probability_KHW: Float32Field | None = None
    motion: MotionField | None = None


def lead_of(fields: ForecastFields, index: int) -> ForecastLead:
    """Return one lead of a whole forecast, as views."""
    probability_KLHW = fields.exceedance_probability_KLHW
    probability_KHW = None if probability_KLHW is None else probability_KLHW[:, index]
    return ForecastLead(index + 1, fields.rate_mmh_LHW[index], fields.known_LHW[index], probability_KHW, fields.motion)


def leads_of(parts: Iterable[ForecastFields]) -> Iterator[ForecastLead]:
    """Yield the leads of consecutive parts of one forecast, as views; a part is taken once its first lead is."""
    steps = count(1)
    for part in parts:
        yield from (replace(lead_of(part, index), step=next(steps)) for index in range(len(part.rate_mmh_LHW)))


def collected(leads: Iterable[ForecastLead], lead_steps: int, thresholds_mmh: Sequence[float]) -> ForecastFields:
    """Return the whole forecast of `lead_steps` leads; each is released once it is copied."""
    rate_LHW, known_LHW, probability_KLHW = np.empty(0, np.float32), np.empty(0, np.bool_), None
    motion: MotionField | None = None
    for number, lead in enumerate(leads):
        probability_KHW, shape = lead.exceedance_probability_KHW, lead.rate_mmh_HW.shape
        if number == 0:
            rate_LHW, known_LHW = (np.empty((lead_steps, *shape), dtype) for dtype in (np.float32, np.bool_))
            motion = lead.motion
            if probability_KHW is not None:
                probability_KLHW = np.empty((len(probability_KHW), lead_steps, *shape), np.float32)
        rate_LHW[number], known_LHW[number] = lead.rate_mmh_HW, lead.known_HW
        if probability_KLHW is not None:
            probability_KLHW[:, number] = probability_KHW
    return ForecastFields(rate_LHW, known_LHW, probability_KLHW, tuple(thresholds_mmh), motion=motion)
