"""Radially averaged power spectrum: whether the forecast has the texture of the observed rain."""

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import ClassVar, Final

import numpy as np
from numpy.typing import NDArray
from scipy.fft import fftfreq, rfft2, rfftfreq

from core.arrays import BoolField, Float64Field, FloatField
from verification.lead import ComparedLead
from verification.scores.base import SCORES, Score
from verification.scores.frames import as_frames
from verification.sums import E10, Sums
from verification.table import Mask, SumRow

BANDS: Final = 20
NO_POWER: Final = (0,) * BANDS
LEAST_SIDE: Final = 8
"""Cells of the shorter side of a rectangle, below which a frame has no spectrum."""

LEAST_RATIO: Final = 1e-6
"""Ratio of a forecast without variance in a band, so that it counts as bad and not as undefined."""

PARTS: Final = 48
"""The shorter side of a field is divided into about this many parts, which makes the search for a rectangle quick."""

LEAST_OBSERVED: Final = 0.9
"""Share of observed grid cells from which a part counts: single cells of clutter are missing everywhere."""

Box = tuple[slice, slice]
"""Rows and columns."""


@dataclass(frozen=True)
class PowerBands(Sums):
    """Variance in (mm/h)^2, rounded to 1e-10 per frame, by wavelength in half octaves, and frames with the band.

    Band k has wavelengths from 2^(k/2) km to 2^((k + 1)/2) km.
    """

    bins: ClassVar[int] = BANDS
    forecast_e10: tuple[int, ...] = NO_POWER
    observed_e10: tuple[int, ...] = NO_POWER
    frames: tuple[int, ...] = NO_POWER

    def ratios(self) -> list[tuple[float, float, int]]:
        """Return middle wavelength in km, forecast / observed power and frames of each band with observed power."""
        rows = enumerate(zip(self.forecast_e10, self.observed_e10, self.frames, strict=True))
        return [(2 ** ((band + 0.5) / 2), forecast / truth, n) for band, (forecast, truth, n) in rows if truth]


@SCORES.register("power-spectrum")
@dataclass(frozen=True)
class PowerSpectrum(Score[PowerBands]):
    """Root mean square over bands of 10 log10(forecast / observed power), in dB; 1.76 dB is a factor of 1.5.

    The power of a band is the sum of the periodogram over its wavelengths (radially averaged, Harris et al. 2001), of
    rates in mm/h, of all frames together; the ratio comes last. NaN without a band with observed power.

    Both sides are cut to the largest rectangle that at most a tenth of each part lacks; a cell that one side lacks is
    dry on both sides, the mean is subtracted, and a Hann window fades all sides. Wavelengths above half of the shorter
    side are too few to count.

    Attributes:
        pixel_m: edge of a grid cell.
    """

    sums: ClassVar[type[Sums]] = PowerBands
    best: ClassVar[float] = 0.0
    operational: ClassVar[bool] = False
    title: ClassVar[str | None] = "Distance of the power spectrum from the observed one in dB"
    pixel_m: float = 1000.0

    def totals(self, forecast: FloatField, observed: FloatField) -> PowerBands:
        total = PowerBands()
        for forecast_HW, observed_HW in zip(*as_frames(forecast, observed), strict=True):
            seen_HW = np.isfinite(forecast_HW) & np.isfinite(observed_HW)
            if (box := _box(seen_HW)) is not None:
                total += self._sums(
                    self.power_K(forecast_HW, seen_HW, box), self.power_K(observed_HW, seen_HW, box), box
                )
        return total

    def value(self, totals: PowerBands) -> float:
        decibels = [10 * math.log10(max(ratio, LEAST_RATIO)) for _, ratio, _ in totals.ratios()]
        return math.sqrt(sum(one * one for one in decibels) / len(decibels)) if decibels else math.nan

    @classmethod
    def compare(
        cls,
        family: str,
        lead: ComparedLead,
        thresholds_mmh: Sequence[float],  # noqa: ARG003 (a spectrum has no event)
        windows_km: Sequence[float],  # noqa: ARG003 (nor a neighbourhood)
        masks: Sequence[Mask],
    ) -> Iterator[SumRow]:
        """Yield the rows of one lead; the spectrum of the observation is computed once for all models."""
        score = cls(lead.pixel_m)
        for mask in masks:
            seen_HW = lead.masks[mask]
            box = _box(seen_HW)
            observed_K = None if box is None else score.power_K(lead.observed_HW, seen_HW, box)
            for model, rate_HW in lead.rates.items():
                sums = PowerBands()
                if box is not None and observed_K is not None:
                    sums = score._sums(score.power_K(rate_HW, seen_HW, box), observed_K, box)
                yield SumRow(model, lead.lead_minutes, family, sums, mask=mask)

    def power_K(self, rate_mmh_HW: FloatField, seen_HW: BoolField, box: Box) -> Float64Field:
        """Return the variance in each band, of the part of a field within a rectangle."""
        rate_HW = np.where(seen_HW, rate_mmh_HW, 0.0)[box].astype(np.float64)
        height, width = rate_HW.shape
        window_HW = np.outer(_hann(height), _hann(width))
        power_HF = np.square(np.abs(rfft2((rate_HW - rate_HW.mean()) * window_HW)))
        power_HF[:, 1 : (width + 1) // 2] *= 2.0  # the other half of the plane mirrors these columns
        band_HF = self._band_HF(height, width)
        power_K = np.bincount(band_HF.ravel(), power_HF.ravel(), BANDS + 1)[:BANDS]
        return np.asarray(power_K / (height * width * np.square(window_HW).sum()), np.float64)

    def _band_HF(self, height: int, width: int) -> NDArray[np.intp]:
        """Return the band of each wave; BANDS for those that do not count."""
        per_km_HF = np.hypot(fftfreq(height)[:, None], rfftfreq(width)) * (1000.0 / self.pixel_m)
        longest_km = min(height, width) / 2 * self.pixel_m / 1000.0
        with np.errstate(divide="ignore"):
            wavelength_km_HF = 1.0 / per_km_HF
        counts_HF = (wavelength_km_HF <= longest_km) & (wavelength_km_HF >= 2 * self.pixel_m / 1000.0)
        with np.errstate(invalid="ignore"):
            band_HF = np.floor(2 * np.log2(wavelength_km_HF) + 1e-9)
        return np.where(counts_HF & (band_HF >= 0) & (band_HF < BANDS), band_HF, BANDS).astype(np.intp)

    def _sums(self, forecast_K: Float64Field, observed_K: Float64Field, box: Box) -> PowerBands:
        height, width = (part.stop - part.start for part in box)
        there_K = np.bincount(self._band_HF(height, width).ravel(), minlength=BANDS + 1)[:BANDS] > 0
        columns = (np.rint(forecast_K * E10), np.rint(observed_K * E10), there_K)
        return PowerBands(*(tuple(map(int, column)) for column in columns))


def _box(seen_HW: BoolField) -> Box | None:
    """Return the rectangle of a spectrum; None where it is too small."""
    box = largest_rectangle(seen_HW)
    return box if min(part.stop - part.start for part in box) >= LEAST_SIDE else None


def _hann(length: int) -> Float64Field:
    """Return a window that fades both ends, without zeros at the ends."""
    return np.square(np.sin(np.pi * (np.arange(length) + 0.5) / length))


def largest_rectangle(seen_HW: BoolField) -> Box:
    """Return the rows and columns of the largest rectangle of parts that are observed; it may be empty.

    A part is a square of cells, of one cell in a small field. Of rectangles with equal area the northernmost counts.
    """
    edge = max(min(seen_HW.shape) // PARTS, 1)
    rows, columns = (length // edge for length in seen_HW.shape)
    parts = seen_HW[: rows * edge, : columns * edge].reshape(rows, edge, columns, edge).mean(axis=(1, 3))
    heights, best, found = np.zeros(columns, int), 0, (0, 0, 0, 0)
    for row, there in enumerate(parts >= LEAST_OBSERVED):
        heights = np.where(there, heights + 1, 0)
        area, height, left, right = _largest_below(heights.tolist())
        if area > best:
            best, found = area, (row + 1 - height, row + 1, left, right)
    top, bottom, left, right = (number * edge for number in found)
    return slice(top, bottom), slice(left, right)


def _largest_below(heights: list[int]) -> tuple[int, int, int, int]:
    """Return area, height, first and end column of the largest rectangle below a skyline."""
    best, waiting = (0, 0, 0, 0), list[tuple[int, int]]()
    for column, height in enumerate([*heights, 0]):
        first = column
        while waiting and waiting[-1][1] >= height:
            first, before = waiting.pop()
            best = max(best, (before * (column - first), before, first, column), key=lambda one: one[0])
        waiting.append((first, height))
    return best
