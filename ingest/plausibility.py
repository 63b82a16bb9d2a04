"""What becomes of implausible values of a field: cells that are masked, fields that are refused, remarks for users.

All ways into the product use these functions: uploads, the watched folder, archives, `models.predict` and training.

Masked (not observed): fill values that a file states, and its valid range, by its reader.
Masked and noted: single cells with a number that stands for a missing value though no attribute states it.
Refused: other values below 0, fields of nothing but such numbers, and fields of which half is infinite.
Noted: rates above 500 mm/h, a high mean of the wet cells, one and the same rain everywhere.
"""

from collections.abc import Mapping, Sequence
from typing import Final

import numpy as np

from core.arrays import Float32Field, FloatField
from core.errors import FrameError
from core.frame import RadarFrame
from core.times import iso
from core.units import CLIP_MMH

FILL_FROM: Final = 1e15
"""Magnitude from which a value is a fill value in any unit: 9.96921e36 of netCDF, 1e20 of CMIP, 1e30 of others."""

MARKS: Final = (
    *(-9999000.0, -999999.0, -99999.0, -32768.0, -32767.0, -9999.9, -9999.0, -999.9, -999.0, -99.9, -99.0),
    *(999.0, 999.9, 9999.0, 9999.9, 32767.0, 65535.0, 99999.0, 999999.0),
)
"""Numbers, in the unit of the file, that stand for cells without a value, whether an attribute states them or not.

A positive one does so where it is above 500 mm/h.
"""

ALMOST: Final = 1 - 1e-6
ROUNDING_MMH: Final = 1e-3
"""Rounding of gain and offset in single precision may put a packed zero this far below 0."""

WET_MEAN_MMH: Final = 30.0
"""Implausible mean over the wet cells of a composite; real events have 1 to 8 mm/h."""

FROZEN_SCANS: Final = 3
"""So many scans in a row with identical rain are implausible: their source is stuck."""

MOST_NOTES: Final = 8
FEWEST_CELLS: Final = 16
"""A field of fewer cells can be the same everywhere by chance."""


def masked_rates(values: FloatField, mmh_per_unit: float, more_marks: Sequence[float] = ()) -> tuple[Float32Field, str]:
    """Return the `rate_field` of one field in the unit of its file, and the note of `without_marks`.

    Raises:
        FrameError: the field as a whole does not hold rain rates.
    """
    values, note = without_marks(values, mmh_per_unit, more_marks)
    return rate_field(values * mmh_per_unit), note


def without_marks(
    values: FloatField, mmh_per_unit: float = 1.0, more_marks: Sequence[float] = ()
) -> tuple[FloatField, str]:
    """Return one field in the unit of its file without numbers that stand for missing values, and a note if it has any.

    They are `MARKS`, `more_marks` that the type of the file suggests, numbers from `FILL_FROM` on, and infinite ones. A
    field without another value keeps its marks, and one of which half is infinite keeps these: `rate_field` refuses it.
    """
    marks = [*(mark for mark in MARKS if mark < 0 or mark * mmh_per_unit > CLIP_MMH), *more_marks]
    lowest, highest = _extremes(values)
    if lowest > max(mark for mark in marks if mark < 0) and highest < min(mark for mark in marks if mark > 0) * ALMOST:
        return values, ""
    there = ~np.isnan(values)
    is_mark = np.any([np.abs(values - mark) <= (1 - ALMOST) * abs(mark) for mark in marks], axis=0)
    is_fill, is_infinite = np.abs(values) >= FILL_FROM, np.isinf(values)
    if 2 * np.count_nonzero(is_infinite) >= np.count_nonzero(there):
        is_fill &= ~is_infinite
    lost = is_fill | is_mark if (there & ~is_mark & ~is_infinite).any() else is_fill
    if not lost.any():
        return values, ""
    listed = ", ".join(f"{number:.6g}" for number in np.unique(values[lost])[:4])
    note = f"{np.count_nonzero(lost)} cells are not observed: they hold {listed}, which no attribute states as missing"
    return np.where(lost, np.asarray(np.nan, values.dtype), values), note


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
    """Return the notes on implausible frames, equal ones as one, the first ones of many."""
    found: dict[str, list[str]] = {}
    for frame in frames:
        for text in remarks(frame.rate_mmh_HW):
            found.setdefault(f": {text}", []).append(f"{frame.product} of {iso(frame.valid_time)}")
    left = sum(map(len, list(found.values())[MOST_NOTES:]))
    return [*counted_notes(found)[:MOST_NOTES], *([f"{left} more fields are implausible"] if left else [])]


def counted_notes(fields_by_text: Mapping[str, Sequence[str]]) -> list[str]:
    """Return a note for each text: the first field that has it, how many have it, and the text."""
    return [
        f"{fields[0]}{f' (the first of {len(fields)} such fields)' if len(fields) > 1 else ''}{text}"
        for text, fields in fields_by_text.items()
    ]


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


def _extremes(field: FloatField) -> tuple[float, float]:
    """Return the smallest and the largest value, NaN where there is none."""
    if field.size == 0:
        return float("nan"), float("nan")
    return float(np.fmin.reduce(field, axis=None)), float(np.fmax.reduce(field, axis=None))
