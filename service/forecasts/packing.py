"""Packed fields: whole numbers in files and in memory, and the values for which they stand (CF, chapter 8.1)."""

from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from core.arrays import Float32Field

RATE_STEP_MMH: Final = 0.01
RATE_FILL: Final = np.uint16(65535)
RATE_MOST_MMH: Final = 655.34
"""Largest rate that is rounded and packed."""

ROUNDING: Final = 1e-6
"""Relative error of 32-bit numbers: a rate so little below a multiple of the step counts as that multiple."""


@dataclass(frozen=True, eq=False)
class Packed:
    """A field in its packed form; an index gives values, NaN is no data.

    Attributes:
        codes: whole numbers, or the values themselves.
        table: value of each code; None where the codes are the values.
    """

    codes: NDArray[Any]
    table: Float32Field | None = None

    def __getitem__(self, key: Any) -> Float32Field:
        """Return the values at an index or a slice of the codes, as an array that cannot be written to."""
        found = self.codes[key]
        values = np.asarray(found if self.table is None else self.table[found], np.float32)
        values.setflags(write=False)  # codes that are values are shared by all callers
        return values

    def part(self, key: Any) -> "Packed":
        """Return a part of the field, still packed, without a copy."""
        return Packed(self.codes[key], self.table)

    @property
    def shape(self) -> tuple[int, ...]:
        """Return the shape of the field."""
        return tuple(self.codes.shape)

    @property
    def nbytes(self) -> int:
        """Return the memory of the codes in bytes; tables are shared by all fields."""
        return self.codes.nbytes


def packed(codes: NDArray[Any], attributes: Mapping[str, Any]) -> Packed:
    """Return what a variable of a file holds, by the attributes `scale_factor` and `_FillValue`."""
    scale = attributes.get("scale_factor")
    if scale is None:
        return Packed(np.asarray(codes, np.float32))
    bits = codes.dtype.itemsize * 8
    fill = None if "_FillValue" not in attributes else int(attributes["_FillValue"]) % 2**bits
    return Packed(codes.view(f"u{bits // 8}"), _table(bits, float(scale), fill))


def rounded_rate(rate_mmh: Float32Field) -> Float32Field:
    """Return rates as a file holds them: in steps of 0.01 mm/h, rounded down, up to `RATE_MOST_MMH`.

    A rate below a threshold so stays below it: rate and exceedance probability of a file cannot contradict each other.
    """
    with np.errstate(invalid="ignore"):
        large = rate_mmh > RATE_MOST_MMH
    return np.where(large, rate_mmh, _rates()[_rate_codes(rate_mmh)])


def packed_rate(rate_mmh_HW: Float32Field) -> NDArray[np.uint16] | None:
    """Return the codes of rates in steps of 0.01 mm/h; None where some rate is no such step."""
    codes_HW = _rate_codes(rate_mmh_HW)
    return codes_HW if np.array_equal(_rates()[codes_HW], rate_mmh_HW, equal_nan=True) else None


def unpacked_rate(codes: NDArray[np.uint16]) -> Packed:
    """Return the rates of `packed_rate`."""
    return Packed(codes, _rates())


def _rate_codes(rate_mmh: Float32Field) -> NDArray[np.uint16]:
    steps = np.floor(rate_mmh.astype(np.float64) * ((1 + ROUNDING) / RATE_STEP_MMH))
    return np.where(np.isnan(steps), RATE_FILL, np.minimum(steps, RATE_FILL - 1)).astype(np.uint16)


def _rates() -> Float32Field:
    return _table(16, RATE_STEP_MMH, int(RATE_FILL))


@lru_cache(maxsize=8)
def _table(bits: int, scale: float, fill: int | None) -> Float32Field:
    """Return the value of each code, computed in 64 bits so that 0.2 is the 0.2 of a threshold."""
    values = (np.arange(2**bits) * scale).astype(np.float32)
    if fill is not None:
        values[fill] = np.nan
    values.setflags(write=False)
    return values
