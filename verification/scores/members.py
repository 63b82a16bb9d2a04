"""Scores of ensemble members, against rain that was observed."""

from abc import abstractmethod
from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from core.arrays import Float64Field, FloatField
from verification.scores.base import Score, T, Takes


@dataclass(frozen=True)
class MemberScore(Score[T]):
    """A score of members: the forecast has one more axis than the observation, M before the last two.

    A grid cell counts where the observation and all members are finite.
    """

    takes: ClassVar[Takes] = "members"
    operational: ClassVar[bool] = False

    def totals(self, forecast: FloatField, observed: FloatField) -> T:
        """Return the sums of one chunk.

        Raises:
            ValueError: the fields differ in shape, or there is one member only.
        """
        return self.of_cells(*members_of(forecast, observed))

    @abstractmethod
    def of_cells(self, member_MN: Float64Field, observed_N: Float64Field) -> T:
        """Return the sums of N grid cells, all of them finite."""


def check_members(forecast: FloatField, observed: FloatField) -> None:
    """Check that the forecast has the observation's axes and one for the members, before the last two.

    Raises:
        ValueError: the fields differ in shape, or there is one member only.
    """
    if forecast.ndim != observed.ndim + 1 or np.delete(forecast.shape, -3).tolist() != list(observed.shape):
        raise ValueError(
            f"forecast of {forecast.shape} against observations of {observed.shape}; expected one more axis before the "
            f"last two, the members"
        )
    if forecast.shape[-3] < 2:
        raise ValueError(f"expected at least 2 members, got {forecast.shape[-3]}")


def members_of(forecast: FloatField, observed: FloatField) -> tuple[Float64Field, Float64Field]:
    """Return members (M, N) and observation (N,) of the grid cells where all are finite.

    Raises:
        ValueError: the fields differ in shape, or there is one member only.
    """
    check_members(forecast, observed)
    both = np.isfinite(observed) & np.isfinite(forecast).all(axis=-3)
    return np.moveaxis(forecast, -3, 0)[:, both].astype(np.float64), observed[both].astype(np.float64)
