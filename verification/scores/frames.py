"""Scores with one value per frame: the sum over frames adds up, the mean is taken last."""

from abc import abstractmethod
from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from core.arrays import Float64Field, FloatField
from verification.scores.base import Score, Takes
from verification.sums import MeanSums, Sums


def as_frames(forecast: FloatField, observed: FloatField) -> tuple[Float64Field, Float64Field]:
    """Return both sides as doubles of shape (N, H, W): every axis but the last two counts frames.

    Raises:
        ValueError: the fields differ in shape, or have fewer than two axes.
    """
    if forecast.shape != observed.shape or forecast.ndim < 2:
        raise ValueError(
            f"expected one shape (..., rows, columns), got a forecast of {forecast.shape} against observations of "
            f"{observed.shape}"
        )
    shape = (-1, *forecast.shape[-2:]) if forecast.size else (0, *forecast.shape[-2:])
    return forecast.astype(np.float64).reshape(shape), observed.astype(np.float64).reshape(shape)


@dataclass(frozen=True)
class PictureScore(Score[MeanSums]):
    """A score of pictures: the mean over frames of one value per frame, as the paper's."""

    sums: ClassVar[type[Sums]] = MeanSums
    takes: ClassVar[Takes] = "pictures"

    def totals(self, forecast: FloatField, observed: FloatField) -> MeanSums:
        """Return the sum over frames; the forecast is clipped to 0 to 1.

        Raises:
            ValueError: a value is NaN: every cell of a picture is observed.
        """
        forecast_NHW, observed_NHW = as_frames(forecast, observed)
        if np.isnan(forecast_NHW).any() or np.isnan(observed_NHW).any():
            raise ValueError("expected a picture with values 0 to 1, got a picture with NaN; rain has its own scores")
        return MeanSums.of(self.per_frame_N(np.clip(forecast_NHW, 0.0, 1.0), observed_NHW))

    def value(self, totals: MeanSums) -> float:
        return totals.mean

    @abstractmethod
    def per_frame_N(self, forecast_NHW: FloatField, observed_NHW: FloatField) -> Float64Field:
        """Return the value of each frame."""


@dataclass(frozen=True)
class RainFrameScore(Score[MeanSums]):
    """A score of rain: the mean over frames of one sum over observed cells; a frame without any does not count."""

    sums: ClassVar[type[Sums]] = MeanSums
    best: ClassVar[float] = 0.0
    operational: ClassVar[bool] = False
    evaluated: ClassVar[bool] = False

    def totals(self, forecast: FloatField, observed: FloatField) -> MeanSums:
        forecast_NHW, observed_NHW = as_frames(forecast, observed)
        seen_NHW = np.isfinite(forecast_NHW) & np.isfinite(observed_NHW)
        frames = int(np.count_nonzero(seen_NHW.any(axis=(1, 2))))
        cells = MeanSums.of(self.per_cell(forecast_NHW[seen_NHW], observed_NHW[seen_NHW]))
        return MeanSums(cells.total_nano, frames)

    def value(self, totals: MeanSums) -> float:
        return totals.mean

    @abstractmethod
    def per_cell(self, forecast_mmh: FloatField, observed_mmh: FloatField) -> Float64Field:
        """Return what each observed grid cell adds."""
