"""Noise whose members have the observed texture: thresholds change the spectrum, which is undone here."""

from collections.abc import Sequence
from typing import Final

import numpy as np

from core.arrays import Float32Field, Float64Field
from core.units import WET_MMH
from models.guided.coupling import coupled_mmh
from models.guided.statistics import log_rate
from models.guided.texture import LARGEST_MMH, GaussianWaves, Texture, band_edges_km, band_products

MEMBERS: Final = 20
MEASURED: Final = 6
"""Of these trial members the spectra are measured."""
EDGE_CELLS: Final = 240
"""Edge of the part of the field that is tried: the one with the most expected rain."""
ROUNDS: Final = 3
LARGEST_CHANGE: Final = 4.0
"""Largest factor of a band's power in one round."""
LARGEST_TOTAL: Final = 300.0
"""Largest ratio of the noise's power to the observed one, over all rounds."""
LEAST_EXPECTED: Final = 0.005
"""Mean probability of the lowest threshold below which nothing can be matched."""
LEAST_POWER: Final = 1e-12
SEED: Final = 7


class TextureMatch:
    """Matches noise to the newest field of one window.

    Both spectra are of the square with the most rain. Rates and log rates count alike: log rates show where light rain
    ends, rates how heavy cells are.

    Args:
        newest_mmh_HW: on the cells of members; NaN where not observed.
        observed: its texture.
        cell_km: edge of a cell.
    """

    def __init__(self, newest_mmh_HW: Float32Field, observed: Texture, cell_km: float) -> None:
        self.observed, self.cell_km = observed, cell_km
        filled_HW = np.nan_to_num(newest_mmh_HW, nan=0.0).clip(max=LARGEST_MMH)
        wet_HW = (filled_HW >= WET_MMH).astype(np.float32)
        self._has_rain = bool(wet_HW.mean() >= LEAST_EXPECTED)
        newest_HW = filled_HW[_most(wet_HW)]
        self._edges_km = band_edges_km((newest_HW.shape[0], newest_HW.shape[1]), cell_km)
        self._wanted_CB = self._powers_CB(newest_HW)

    def matched(
        self, noise: Texture, probability_KHW: Float32Field, thresholds_mmh: Sequence[float], minutes: float
    ) -> Texture:
        """Return noise with which members of these probabilities have the observed shape of the spectrum.

        Args:
            noise: to begin with.
            probability_KHW: of one lead, on the cells of members.
            thresholds_mmh: of the probabilities.
            minutes: of the lead.
        """
        lowest_HW = np.nan_to_num(probability_KHW[0], nan=0.0)
        part_KHW = np.nan_to_num(probability_KHW[:, *_most(lowest_HW)], nan=0.0)
        if not self._has_rain or part_KHW[0].mean() < LEAST_EXPECTED:
            return noise
        for _ in range(ROUNDS):
            power_CB = self._member_powers_CB(noise, part_KHW, thresholds_mmh, minutes)
            log_CB = np.log(np.maximum(self._wanted_CB, LEAST_POWER) / np.maximum(power_CB, LEAST_POWER))
            # Of a spectrum only its shape can be matched: the variance follows from the probabilities.
            log_B = (log_CB - log_CB.mean(axis=1, keepdims=True)).mean(axis=0)
            noise = self._changed(noise, np.clip(np.exp(log_B), 1 / LARGEST_CHANGE, LARGEST_CHANGE))
        return noise

    def _powers_CB(self, rate_mmh_HW: Float32Field) -> Float64Field:
        """Return the powers of log rates and of rates by band."""
        both = (log_rate(rate_mmh_HW), rate_mmh_HW)
        return np.stack([band_products(each, each, self.cell_km, self._edges_km) for each in both])

    def _member_powers_CB(
        self, noise: Texture, probability_KHW: Float32Field, thresholds_mmh: Sequence[float], minutes: float
    ) -> Float64Field:
        """Return the median powers of trial members."""
        rows, cols = probability_KHW.shape[1:]
        waves = GaussianWaves(noise, (rows, cols), self.cell_km, MEMBERS, SEED)
        waves.advance(minutes)
        fields_MHW = np.stack([field_HW[:rows, :cols] for field_HW in waves.fields_HW()])
        rate_mmh_MHW = coupled_mmh(fields_MHW, probability_KHW, thresholds_mmh)
        return np.asarray(np.median([self._powers_CB(rate_HW) for rate_HW in rate_mmh_MHW[:MEASURED]], axis=0))

    def _changed(self, noise: Texture, change_B: Float64Field) -> Texture:
        """Return noise with other powers; for longer waves than those of the square the ratio of its longest counts."""
        observed, known = self.observed, len(change_B)
        ratio_B = noise.power_B / observed.power_B
        ratio_B[:known] *= change_B
        ratio_B[known:] = ratio_B[known - 1]
        return noise.with_power(observed.power_B * np.clip(ratio_B, 1 / LARGEST_TOTAL, LARGEST_TOTAL))


def _most(field_HW: Float32Field) -> tuple[slice, slice]:
    """Return rows and columns of the square of `EDGE_CELLS` with the largest sum along rows and columns."""
    parts = []
    for axis, length in enumerate(field_HW.shape):
        edge = min(EDGE_CELLS, length)
        sums = np.convolve(field_HW.sum(axis=1 - axis, dtype=np.float64), np.ones(edge), "valid")
        first = int(sums.argmax())
        parts.append(slice(first, first + edge))
    return parts[0], parts[1]
