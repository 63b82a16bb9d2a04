"""Scores that every frame has one value of: the sum over frames adds up, the mean comes last."""

import math
from dataclasses import dataclass

import numpy as np

from core.arrays import FloatField


@dataclass(frozen=True)
class FrameSum:
    """Sum of one value per frame; the number of frames is a Python integer, the sum a double."""

    total: float = 0.0
    frames: int = 0

    def __add__(self, other: "FrameSum") -> "FrameSum":
        return FrameSum(self.total + other.total, self.frames + other.frames)

    @property
    def mean(self) -> float:
        """Mean of a frame; NaN without one."""
        return self.total / self.frames if self.frames else math.nan


def as_frames(forecast: FloatField, observed: FloatField) -> tuple[FloatField, FloatField]:
    """Both sides as doubles of shape (N, H, W): every axis but the last two counts frames.

    Raises:
        ValueError: fields of two shapes, or fewer than two axes.
    """
    if forecast.shape != observed.shape or forecast.ndim < 2:
        raise ValueError(
            f"forecast of {forecast.shape} against observations of {observed.shape}; one shape (..., rows, columns) "
            "was due"
        )
    shape = (-1, *forecast.shape[-2:]) if forecast.size else (0, *forecast.shape[-2:])
    return forecast.astype(np.float64).reshape(shape), observed.astype(np.float64).reshape(shape)
