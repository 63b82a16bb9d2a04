"""What becomes of implausible values of a field: cells that are masked, fields that are refused, remarks for users.

All ways into the product use these functions: uploads, the watched folder, archives, `models.predict` and training.

Masked (not observed): fill values; those of CF files and their valid ranges by `core.cf_reading` before the unit is
converted.
Refused: values below 0 and infinite ones.
Noted: rates above 500 mm/h, a high mean of the wet cells, one and the same rain everywhere.
"""

from collections.abc import Sequence
from typing import Final

import numpy as np

from core.arrays import Float32Field, FloatField
from core.errors import FrameError
from core.frame import RadarFrame
from core.times import iso
from core.units import CLIP_MMH

FILL_FROM: Final = 1e15
"""Magnitude from which a value is a fill value in any unit: 9.96921e36 of netCDF, 1e20 of CMIP, 1e30 of others."""

ROUNDING_MMH: Final = 1e-3
"""Rounding of gain and offset in single precision may put a packed zero this far below 0."""

WET_MEAN_MMH: Final = 30.0
"""Implausible mean over the wet cells of a composite; real events have 1 to 8 mm/h."""

MOST_NOTES: Final = 8
FEWEST_CELLS: Final = 16
"""A field of fewer cells can be the same everywhere by chance."""


def rate_field(rate_mmh: FloatField) -> Float32Field:
    """Return decoded rates as a frame holds them: float32, contiguous, NaN for fill values, no rounding below 0.

    Raises:
        FrameError: values below 0, or infinite ones.
    """
    field = np.array(rate_mmh, np.float32, order="C")
    field[np.isnan(field)] = np.nan  # NumPy's fmin and fmax skip values next to a signalling NaN
    lowest, highest = _extremes(field)
    if np.isinf(lowest) or np.isinf(highest):
        raise FrameError("expected finite rates or no data, got infinite rates")
    if max(highest, -lowest) >= FILL_FROM:
        field[np.abs(field) >= FILL_FROM] = np.nan
        lowest, highest = _extremes(field)
    if lowest < -ROUNDING_MMH:
        raise FrameError(f"expected rates of 0 mm/h or more, got {lowest:g}")
    if lowest < 0:
        np.maximum(field, 0.0, out=field)
    return field


def remarks(rate_mmh_HW: Float32Field) -> tuple[str, ...]:
    """Return why a field is implausible as rain in mm/h; empty if it is plausible."""
    return remarks_of(rate_mmh_HW[rate_mmh_HW > 0], int(np.isfinite(rate_mmh_HW).sum()))


def field_notes(frames: Sequence[RadarFrame]) -> list[str]:
    """Return a note per implausible frame, the first ones of many."""
    found = [
        f"{frame.product} of {iso(frame.valid_time)}: {text}" for frame in frames for text in remarks(frame.rate_mmh_HW)
    ]
    more = [f"{len(found) - MOST_NOTES} more fields are implausible"] if len(found) > MOST_NOTES else []
    return found[:MOST_NOTES] + more


def remarks_of(wet_mmh: Float32Field, observed: int) -> tuple[str, ...]:
    """Return the remarks on a field of `observed` cells with these wet ones."""
    if wet_mmh.size == 0:
        return ()
    highest, mean = float(wet_mmh.max()), float(wet_mmh.mean(dtype=np.float64))
    found = [text for text in (rate_remark(highest, mean),) if text]
    if wet_mmh.size == observed >= FEWEST_CELLS and float(wet_mmh.min()) == highest:
        found.append(f"expected rain that differs from cell to cell, got {highest:g} mm/h in every observed cell")
    return tuple(found)


def rate_remark(max_mmh: float, wet_mean_mmh: float) -> str | None:
    """Return why the largest rate or the mean of the wet cells is implausible, or None."""
    if max_mmh > CLIP_MMH:
        return f"largest rate: expected at most {CLIP_MMH:.0f} mm/h, got {max_mmh:.0f} mm/h"
    if wet_mean_mmh > WET_MEAN_MMH:
        return f"mean of all wet cells: expected at most {WET_MEAN_MMH:.0f} mm/h, got {wet_mean_mmh:.0f} mm/h"
    return None


def _extremes(field: Float32Field) -> tuple[float, float]:
    """Return the smallest and the largest value, NaN where there is none."""
    if field.size == 0:
        return float("nan"), float("nan")
    return float(np.fmin.reduce(field, axis=None)), float(np.fmax.reduce(field, axis=None))
