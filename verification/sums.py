"""Sums of a score: named columns of whole numbers, so that the order of adding never changes a result."""

import math
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, fields
from operator import add
from typing import Any, ClassVar, Final, Self

import numpy as np

from core.arrays import Float64Field, FloatField

NANO: Final = 1_000_000_000
E10: Final = 10_000_000_000
PPM: Final = 1_000_000
MOST_COLUMNS: Final = 4
"""Number of columns of sums in the database (`service.forecasts.tables.ScoreSumsRow`)."""


@dataclass(frozen=True)
class Sums:
    """Base of all sums: a frozen dataclass with at most four fields, the columns.

    Every field is a Python integer with the default 0, or, where `bins` is set, a tuple with one integer per bin. A
    real number is stored in fixed point: the name of the field then ends in `_ppm`, `_nano` or `_e10`.

    Attributes:
        bins: length of the tuples; 0 for plain integers.
    """

    bins: ClassVar[int] = 0

    def __add__(self, other: Self) -> Self:
        pairs = zip(self._values(), other._values(), strict=True)
        if self.bins:
            return type(self)(*(tuple(map(add, mine, others)) for mine, others in pairs))
        return type(self)(*(mine + others for mine, others in pairs))

    @classmethod
    def columns(cls) -> tuple[str, ...]:
        """Return the names of the columns, in the order in which they are stored."""
        return tuple(field.name for field in fields(cls))

    def rows(self) -> Iterator[tuple[int | None, tuple[int, ...]]]:
        """Yield (bin, values by column) as the database stores them; bins with zeros only are left out."""
        if not self.bins:
            yield None, self._values()
            return
        for number, values in enumerate(zip(*self._values(), strict=True)):
            if any(values):
                yield number, values

    @classmethod
    def from_rows(cls, rows: Iterable[tuple[int | None, tuple[int, ...]]]) -> Self:
        """Return the sums of stored rows, the inverse of `rows`."""
        if not cls.bins:
            ((_, values),) = rows
            return cls(*values)
        table = [[0] * cls.bins for _ in cls.columns()]
        for number, values in rows:
            for column, value in zip(table, values, strict=True):
                column[number or 0] = value
        return cls(*map(tuple, table))

    def flat(self) -> list[int]:
        """Return all numbers in one list, for a reduction over processes."""
        return [number for value in self._values() for number in (value if self.bins else (value,))]

    @classmethod
    def from_flat(cls, numbers: list[int]) -> Self:
        """Return the sums of such a list of numbers, the inverse of `flat`."""
        if not cls.bins:
            return cls(*numbers)
        return cls(*(tuple(numbers[start : start + cls.bins]) for start in range(0, len(numbers), cls.bins)))

    def _values(self) -> tuple[Any, ...]:
        return tuple(getattr(self, name) for name in self.columns())


@dataclass(frozen=True)
class MeanSums(Sums):
    """Sum of one value per grid cell or per frame, each rounded to 1e-9, and the number of values."""

    total_nano: int = 0
    number: int = 0

    @classmethod
    def of(cls, value_N: FloatField) -> "MeanSums":
        """Return the sums of some values, which must be finite."""
        return cls(fixed_sum(value_N, NANO), len(value_N))

    @property
    def mean(self) -> float:
        """Return the mean value; NaN without any."""
        return self.total_nano / NANO / self.number if self.number else math.nan


def fixed_sum(value_N: FloatField, per_one: int) -> int:
    """Return the sum of values in units of 1 / `per_one`; each is rounded first, so that parts add up to the whole."""
    return int(np.rint(value_N * per_one).astype(np.int64).sum())


def quotient(above: Float64Field, below: Float64Field) -> Float64Field:
    """Return above / below; NaN where below is 0."""
    with np.errstate(divide="ignore", invalid="ignore"):
        return np.where(below != 0.0, above / below, np.nan)
