"""Texture of rain: power and lifetime by wavelength, measured in a window, and Gaussian fields that have them."""

from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Final, Self

import numpy as np
from scipy.fft import fftfreq, ifft2, next_fast_len, rfft2, rfftfreq

from core.arrays import Float32Field, Float64Field
from core.units import WET_MMH
from models.guided.statistics import log_rate

BANDS_PER_OCTAVE: Final = 2
LONGEST: Final = 0.7
"""Longest wavelength that is measured, in shorter edges of the field."""
LEAST_WET: Final = 0.002
"""Share of wet cells below which a field has no texture of its own."""
LARGEST_MMH: Final = 60.0
"""Higher rates count as this: those of members are not higher, and single cells of clutter are."""
LEAST_BAND: Final = 1e-9
"""Power of log rates below which a band has no texture: rounding of a field without differences, or no wave at all."""
LEAST_COHERENCE: Final = 0.02
MOST_COHERENCE: Final = 0.995
USUAL_EXPONENT: Final = 2.5
"""Power of log rates by wavelength, where a window has no rain to measure it: near the mean of the shared events."""
USUAL_MINUTES_PER_KM: Final = 1.5
"""Lifetime of a wavelength in the same case: 6 minutes at 4 km, 1.5 hours at 60 km."""


@dataclass(frozen=True)
class Texture:
    """Power and lifetime by wavelength.

    Attributes:
        wavelength_km_B: middles of the bands, ascending.
        power_B: mean power of a wave of log rates in each band; only ratios count.
        lifetime_minutes_B: time in which a wave's correlation with itself, along the motion, falls to 1 / e.
    """

    wavelength_km_B: Float64Field
    power_B: Float64Field
    lifetime_minutes_B: Float64Field

    def with_power(self, power_B: Float64Field) -> Self:
        """Return the same lifetimes with other powers."""
        return replace(self, power_B=power_B)

    def waves(self, shape: tuple[int, int], cell_km: float) -> tuple[Float32Field, Float32Field]:
        """Return power and lifetime of each wave of a periodic field, (H, W) each; the mean has no power."""
        per_km_HW = np.hypot(fftfreq(shape[0], cell_km)[:, None], fftfreq(shape[1], cell_km))
        mean_HW = per_km_HW == 0
        per_km_HW[mean_HW] = 1.0
        log_HW, log_B = -np.log(per_km_HW), np.log(self.wavelength_km_B)
        power_HW = np.exp(np.interp(log_HW, log_B, np.log(self.power_B)))
        power_HW[mean_HW] = 0.0
        lifetime_HW = np.exp(np.interp(log_HW, log_B, np.log(self.lifetime_minutes_B)))
        return power_HW.astype(np.float32), lifetime_HW.astype(np.float32)


def band_edges_km(shape: tuple[int, int], cell_km: float) -> Float64Field:
    """Return the edges of the bands of a field, half an octave each, from two cells up."""
    longest_km = max(LONGEST * min(shape), 4.0) * cell_km
    count = int(np.floor(BANDS_PER_OCTAVE * np.log2(longest_km / (2 * cell_km)) + 1e-9))
    edges_km = 2 * cell_km * 2.0 ** (np.arange(count + 1) / BANDS_PER_OCTAVE)
    edges_km[0] *= 1 - 1e-6
    return np.asarray(edges_km)


def band_products(
    first_HW: Float32Field, second_HW: Float32Field, cell_km: float, edges_km: Float64Field
) -> Float64Field:
    """Return the mean product of two fields' waves in each band: power, for a field with itself; cells are finite.

    A Hann window fades all sides, and the mean under it is subtracted.
    """
    window_HW = np.outer(*(np.square(np.sin(np.pi * (np.arange(n) + 0.5) / n)) for n in first_HW.shape))
    window_HW = window_HW.astype(np.float32)
    waves = [rfft2((each - np.average(each, weights=window_HW)) * window_HW) for each in (first_HW, second_HW)]
    product_HF = (waves[0] * waves[1].conj()).real / np.square(window_HW).sum()
    per_km_HF = np.hypot(fftfreq(first_HW.shape[0], cell_km)[:, None], rfftfreq(first_HW.shape[1], cell_km))
    with np.errstate(divide="ignore"):
        band_HF = np.digitize(1 / per_km_HF, edges_km)
    count_B = np.bincount(band_HF.ravel(), minlength=len(edges_km) + 1)
    sum_B = np.bincount(band_HF.ravel(), product_HF.ravel(), len(edges_km) + 1)
    return np.asarray((sum_B / np.maximum(count_B, 1))[1:-1])


def observed_texture(
    newest_mmh_HW: Float32Field, carried_mmh_HW: Float32Field, minutes: float, cell_km: float
) -> Texture:
    """Return the texture of the newest field, with the lifetimes from an older one that was carried to it.

    Args:
        newest_mmh_HW: rates in mm/h; NaN where not observed.
        carried_mmh_HW: the same of the older field.
        minutes: time between both.
        cell_km: edge of a cell.
    """
    edges_km = band_edges_km((newest_mmh_HW.shape[0], newest_mmh_HW.shape[1]), cell_km)
    wavelength_km_B = np.sqrt(edges_km[1:] * edges_km[:-1])
    power_B, lifetime_B = wavelength_km_B**USUAL_EXPONENT, wavelength_km_B * USUAL_MINUTES_PER_KM
    usual = Texture(wavelength_km_B, power_B, lifetime_B)
    both_HW = np.isfinite(newest_mmh_HW) & np.isfinite(carried_mmh_HW)
    newest_HW, shared_HW, carried_HW = (
        np.where(seen_HW, rate_HW, np.float32(0.0)).clip(max=LARGEST_MMH)
        for seen_HW, rate_HW in (
            (np.isfinite(newest_mmh_HW), newest_mmh_HW),
            (both_HW, newest_mmh_HW),
            (both_HW, carried_mmh_HW),
        )
    )
    if (newest_HW >= WET_MMH).mean() < LEAST_WET:
        return usual
    log_HW = log_rate(newest_HW)
    power_B = band_products(log_HW, log_HW, cell_km, edges_km)
    if power_B.min() < LEAST_BAND:
        return usual
    found = usual.with_power(power_B)
    if min((each >= WET_MMH).mean() for each in (shared_HW, carried_HW)) < LEAST_WET:
        return found
    coherence_B = _coherence(log_rate(shared_HW), log_rate(carried_HW), cell_km, edges_km)
    if coherence_B is None:
        return found
    lifetime_B = -minutes / np.log(np.clip(coherence_B, LEAST_COHERENCE, MOST_COHERENCE))
    return replace(found, lifetime_minutes_B=np.maximum.accumulate(lifetime_B))


def _coherence(
    first_HW: Float32Field, second_HW: Float32Field, cell_km: float, edges_km: Float64Field
) -> Float64Field | None:
    """Return the correlation of two fields in each band; None where one of them has no texture."""
    own = [band_products(each, each, cell_km, edges_km) for each in (first_HW, second_HW)]
    if np.min(own) < LEAST_BAND:
        return None
    return np.asarray(band_products(first_HW, second_HW, cell_km, edges_km) / np.sqrt(own[0] * own[1]))


class GaussianWaves:
    """Periodic Gaussian fields whose waves live as long as those of a texture; they are born at time 0 and grow.

    At any time a wave has the variance 1 - exp(-2 t / lifetime): what has changed since the newest observation. Two
    fields share a transform, as its real and its imaginary part.

    Args:
        texture: powers and lifetimes.
        shape: rows and columns that the fields cover at least.
        cell_km: edge of a cell.
        count: number of fields.
        seed: of the random numbers.
    """

    def __init__(self, texture: Texture, shape: tuple[int, int], cell_km: float, count: int, seed: int) -> None:
        self.shape = (next_fast_len(shape[0]), next_fast_len(shape[1]))
        self.cell_km, self.count = cell_km, count
        self._random = np.random.Generator(np.random.SFC64(seed))
        self._wave_MHW = np.zeros((-(-count // 2), *self.shape), np.complex64)
        self._variance_HW = np.zeros(self.shape, np.float32)
        self._lifetime_HW = texture.waves(self.shape, cell_km)[1]
        self.retexture(texture)

    def retexture(self, texture: Texture) -> None:
        """Set other powers; the waves stay."""
        self._power_HW = texture.waves(self.shape, self.cell_km)[0]

    def advance(self, minutes: float) -> None:
        """Let time pass."""
        kept_HW = np.exp(-np.float32(minutes) / self._lifetime_HW)
        new_HW = np.sqrt(1 - np.square(kept_HW))
        for wave_HW in self._wave_MHW:
            wave_HW *= kept_HW
            normal_HW2 = self._random.standard_normal((*self.shape, 2), np.float32)
            wave_HW += normal_HW2.view(np.complex64)[..., 0] * new_HW
        self._variance_HW = np.square(kept_HW) * self._variance_HW + np.square(new_HW)

    def fields_HW(self) -> Iterator[Float32Field]:
        """Yield the fields, each with the variance 1."""
        variance = max(float((self._power_HW * self._variance_HW).sum(dtype=np.float64)), 1e-30)
        amplitude_HW = np.sqrt(self._power_HW * np.float32(self.shape[0] * self.shape[1] / variance))
        for number in range(self.count):
            if number % 2 == 0:
                both_HW = ifft2(self._wave_MHW[number // 2] * amplitude_HW, norm="ortho", overwrite_x=True)
            yield np.ascontiguousarray(both_HW.imag if number % 2 else both_HW.real)
