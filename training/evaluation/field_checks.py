"""Checks of forecast fields: contradictions with their probabilities, ghosts of the newest scan, low probabilities."""

from dataclasses import dataclass
from typing import Final

import numpy as np

from core.arrays import BoolField, Float32Field
from verification.scores.power_spectrum import PowerBands, PowerSpectrum
from verification.sums import PPM, Sums, fixed_sum

LEAST_PROBABILITY: Final = 0.2
LEAST_HEAVY: Final = 0.1
HEAVY_MMH: Final = 5.0
"""A rate at or above a threshold has at least this probability there; `LEAST_HEAVY` from `HEAVY_MMH` up."""

LOW_EDGES: Final = (0.0, 0.005, 0.01, 0.02, 0.05, 0.1)
"""Bins of low probabilities, where a tenth is too coarse: drizzle of 7 % over a whole dry country is a fault."""

SAME: Final = 1e-9
"""Standard deviation of log rates up to which a field has one value everywhere."""

TEXTURE_FACTOR: Final = 1.5
SHORTEST_KM: Final = 4.0
"""Power of members is within this factor of the observed one at wavelengths from here up."""


@dataclass(frozen=True)
class LowBins(Sums):
    """Cells, events and sum of probabilities by the bins of `LOW_EDGES`."""

    bins = len(LOW_EDGES) - 1
    cells: tuple[int, ...] = (0,) * (len(LOW_EDGES) - 1)
    events: tuple[int, ...] = (0,) * (len(LOW_EDGES) - 1)
    probability_ppm: tuple[int, ...] = (0,) * (len(LOW_EDGES) - 1)

    def points(self) -> list[tuple[float, float, int]]:
        """Return mean probability, frequency of the event and cells of every bin that holds a cell."""
        rows = zip(self.probability_ppm, self.events, self.cells, strict=True)
        return [(ppm / PPM / cells, events / cells, cells) for ppm, events, cells in rows if cells]


def contradictions(
    rate_mmh_HW: Float32Field, probability_KHW: Float32Field, thresholds_mmh: tuple[float, ...]
) -> dict[float, int]:
    """Return, by threshold, the number of cells whose rate reaches it although its probability there is too low.

    Args:
        rate_mmh_HW: shown rates; NaN is not covered.
        probability_KHW: exceedance probabilities on the same cells.
        thresholds_mmh: of the probabilities, ascending.
    """
    found = {}
    for mmh, probability_HW in zip(thresholds_mmh, probability_KHW, strict=True):
        least = np.float32(LEAST_PROBABILITY if mmh < HEAVY_MMH else LEAST_HEAVY)
        with np.errstate(invalid="ignore"):
            shown_HW = rate_mmh_HW >= np.float32(mmh)
            found[mmh] = int(np.count_nonzero(shown_HW & ~(probability_HW >= least)))
    return found


def ghost(last_mmh_HW: Float32Field, newest_mmh_HW: Float32Field, observed_mmh_HW: Float32Field) -> float | None:
    """Return how much more the last lead resembles the newest scan than the observation; None if undefined.

    That is the correlation of its log rates with the newest scan, less that with what was observed at the time, on the
    cells that all three have. A large value means that rain which has left is forecast to be back.
    """
    seen_HW = np.isfinite(last_mmh_HW) & np.isfinite(newest_mmh_HW) & np.isfinite(observed_mmh_HW)
    every = (last_mmh_HW, newest_mmh_HW, observed_mmh_HW)
    log_KN = np.stack([np.log1p(field_HW[seen_HW].astype(np.float64) * 10) for field_HW in every])
    if not seen_HW.any() or log_KN.std(axis=1).min() < SAME:
        return None
    correlation_KK = np.corrcoef(log_KN)
    return float(correlation_KK[0, 1] - correlation_KK[0, 2])


def low_bins(probability_HW: Float32Field, observed_mmh_HW: Float32Field, threshold_mmh: float) -> LowBins:
    """Return the sums of cells with a probability below the last of `LOW_EDGES`."""
    there_HW = np.isfinite(probability_HW) & np.isfinite(observed_mmh_HW)
    probability_N = probability_HW[there_HW].astype(np.float64)
    event_N = observed_mmh_HW[there_HW] >= threshold_mmh
    bin_N = np.searchsorted(LOW_EDGES, probability_N, side="right") - 1
    chosen = [bin_N == number for number in range(LowBins.bins)]
    return LowBins(
        tuple(int(one.sum()) for one in chosen),
        tuple(int(event_N[one].sum()) for one in chosen),
        tuple(fixed_sum(probability_N[one], PPM) for one in chosen),
    )


def texture(
    members_mmh_MHW: Float32Field, observed_mmh_HW: Float32Field, known_HW: BoolField, pixel_m: float
) -> PowerBands:
    """Return the power of each member and of the observation by wavelength, on the cells that are known.

    Args:
        members_mmh_MHW: members on the same cells as the observation.
        observed_mmh_HW: what was observed at the lead.
        known_HW: cells that count.
        pixel_m: edge of a cell.
    """
    score, total = PowerSpectrum(pixel_m), PowerBands()
    seen_HW = np.where(known_HW, observed_mmh_HW, np.float32(np.nan))
    for member_HW in members_mmh_MHW:
        total += score.totals(member_HW, seen_HW)
    return total


def beyond(power: PowerBands) -> list[tuple[float, float, int]]:
    """Return the bands from `SHORTEST_KM` up whose power is not within `TEXTURE_FACTOR` of the observed one."""
    return [
        (km, ratio, frames)
        for km, ratio, frames in power.ratios()
        if km >= SHORTEST_KM and not 1 / TEXTURE_FACTOR <= ratio <= TEXTURE_FACTOR
    ]
