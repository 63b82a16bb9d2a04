"""The deterministic rate by cuts of the highest expected CSI, and bounds of probabilities where rain flows in."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import cv2
import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from core.arrays import BoolField, Float32Field
from core.distribution import TAIL_EXPONENT, TOP_FACTOR

FREQUENCY_KM: Final = (128.0, 512.0)
"""Edges of an observed area whose frequency of rain counts for nothing, and in full, beyond it (decision 0100)."""
REACH_KM: Final = 50.0
"""Distance beyond the known area over which the bound falls to 1/e."""
BOUNDS: Final = ((0.5, 0.65), (2.0, 0.5), (5.0, 0.35))
"""Threshold in mm/h and factor of the bound beyond `EDGE_KM`; between them by the logarithm of the threshold."""
EDGE_KM: Final = 5.0
"""Distance over which that factor falls from 1: next to the known area its value still says a lot."""
BINS: Final = 2000
TAIL_CELLS: Final = 50
FLATTEST_TAIL: Final = 1.0


@dataclass(frozen=True)
class ExpectedCuts:
    """Settings of the cuts.

    Attributes:
        least: lowest probability at which a rate at or above a threshold is shown.
        least_heavy: the same from `heavy_mmh` up.
        heavy_mmh: see there.
        stated: probability that is stated at least where a rate at or above a threshold is shown.
        stated_heavy: the same from `heavy_mmh` up.
        smallest: lowest ratio of the shown area to the expected one, where cells with the least probability suffice.
        largest: highest ratio.
        smallest_heavy, largest_heavy: the same from `heavy_mmh` up.
    """

    least: float = 0.1
    least_heavy: float = 0.05
    heavy_mmh: float = 5.0
    stated: float = 0.2
    stated_heavy: float = 0.1
    smallest: float = 0.8
    largest: float = 1.25
    smallest_heavy: float = 1.0
    largest_heavy: float = 1.5

    def cut(self, probability_N: Tensor, mmh: float, weight_N: Tensor | None = None) -> float:
        """Return the probability from which the expected CSI of one threshold is highest; above 1 if no cell is shown.

        Hits are expected from the probabilities themselves: CSI = hits / (shown + expected - hits).

        Args:
            probability_N: of the cells; those with NaN do not count.
            mmh: the threshold.
            weight_N: number of cells that each stands for; None: 1.
        """
        bounds = (self.least, self.smallest, self.largest)
        if mmh >= self.heavy_mmh:
            bounds = (self.least_heavy, self.smallest_heavy, self.largest_heavy)
        bin_N = probability_N.mul(BINS).add_(1).nan_to_num_(nan=0.0).int().clamp_(max=BINS)
        counts_B = torch.bincount(bin_N, weight_N, BINS + 1)[1:]
        return _best(counts_B.cpu().double().numpy(), *bounds)

    def rate_mmh(self, probability_KN: Tensor, rates_mmh: tuple[float, ...], exponent: float = TAIL_EXPONENT) -> Tensor:
        """Return the rates (N) of cells from their probabilities, which must not rise with the threshold.

        A rate is at or above a threshold exactly where its probability and those of all lower thresholds reach their
        cuts; between thresholds it follows the distance of the logits from the cuts. Beyond the highest one it is the
        rate that is exceeded with the probability of that cut, if odds fall with this power of the rate
        (`core.distribution.beyond_highest`). NaN where the probabilities are.

        Args:
            probability_KN: by threshold.
            rates_mmh: the thresholds.
            exponent: of the rates beyond the highest one (`tail_exponent`).
        """
        cuts = [self.cut(probability_N, mmh) for probability_N, mmh in zip(probability_KN, rates_mmh, strict=True)]
        rate_N = probability_KN[0] * 0
        wet = (probability_KN[0] >= cuts[0]).nonzero()[:, 0]
        logs = np.log(rates_mmh)
        for number, cut in enumerate(cuts):
            wet = wet[probability_KN[number, wet] >= cut]
            above_N = _margin(probability_KN[number, wet], cut)
            if number + 1 < len(cuts):
                short_N = _margin(probability_KN[number + 1, wet], cuts[number + 1]).neg().clamp(1e-3, 50.0)
                share_N = (above_N / (above_N + short_N)).clamp(0.0, 0.999) * float(logs[number + 1] - logs[number])
            else:
                share_N = (above_N / exponent).clamp(0.0, float(np.log(TOP_FACTOR)))
            rate_N[wet] = (share_N.exp() * rates_mmh[number]).clamp(
                min=float(np.nextafter(np.float32(rates_mmh[number]), 2))
            )
        return rate_N

    def raise_stated(self, probability_KN: Tensor, rate_N: Tensor, rates_mmh: tuple[float, ...]) -> None:
        """Raise the probabilities, in place, to the stated ones where `rate_N` reaches a threshold.

        Where little can be foreseen, the best cut is below the probability that a reader expects of a rate shown.
        """
        shown = (rate_N >= rates_mmh[0]).nonzero()[:, 0]
        for probability_N, mmh in zip(probability_KN, rates_mmh, strict=True):
            shown = shown[rate_N[shown] >= mmh]
            floor = self.stated if mmh < self.heavy_mmh else self.stated_heavy
            probability_N[shown] = probability_N[shown].clamp_(min=floor)


def tail_exponent(rate_mmh_N: Float32Field, highest_mmh: float) -> float:
    """Return the exponent with which the odds of rates beyond the highest threshold fall in the newest scan.

    The estimator of Hill (1975), with `TAIL_CELLS` cells of the general exponent added: the probabilities hardly tell
    cells of 30 mm/h from those of 100, the scan does.

    Args:
        rate_mmh_N: observed rates.
        highest_mmh: the threshold.
    """
    excess_N = np.log(rate_mmh_N[rate_mmh_N > highest_mmh] / np.float32(highest_mmh))
    exponent = (excess_N.size + TAIL_CELLS) / (float(excess_N.sum(dtype=np.float64)) + TAIL_CELLS / TAIL_EXPONENT)
    return float(max(exponent, FLATTEST_TAIL))


def edge_distance_km(observed_HW: BoolField, pixel_km: float) -> Float32Field:
    """Return the distance of each cell to the nearest one that is not observed, those beyond the grid among them."""
    edged_HW = np.pad(observed_HW.astype(np.uint8), 1)
    return np.asarray(cv2.distanceTransform(edged_HW, cv2.DIST_L2, 5)[1:-1, 1:-1] * np.float32(pixel_km), np.float32)


def frequencies(seen_N: Float32Field, pixel_km: float, rates_mmh: Sequence[float]) -> tuple[float, ...]:
    """Return the least that far inflow keeps: a share of the frequency of each threshold among the observed cells.

    Of an area no larger than the rain itself a frequency says nothing of what comes next: the share rises with the edge
    of a square of as many cells, from 0 to 1 between the lengths of `FREQUENCY_KM`.
    """
    edge_km = pixel_km * float(np.sqrt(seen_N.size))
    trusted = float(np.interp(edge_km, FREQUENCY_KM, (0.0, 1.0)))
    return tuple(trusted * float((seen_N >= np.float32(mmh)).mean()) if trusted else 0.0 for mmh in rates_mmh)


def lower_inflow(
    probability_KHW: Tensor,
    known_HW: BoolField,
    pixel_km: float,
    rates_mmh: tuple[float, ...],
    shares_K: Sequence[float],
) -> None:
    """Lower the probabilities, in place, where a forecast does not rest on an observation.

    There the value of the edge of the observed area is carried on, which says less the farther it is: far away a
    probability is at most the frequency of the newest scan. Known cells stay.

    Args:
        probability_KHW: not rising with the threshold, which stays so; NaN stays.
        known_HW: where a forecast rests on an observation.
        pixel_km: edge of a cell.
        rates_mmh: thresholds.
        shares_K: least value of each threshold's bound far away, of `frequencies`.
    """
    if known_HW.all():
        return
    cells_HW = cv2.distanceTransform(np.uint8(1) - known_HW.astype(np.uint8), cv2.DIST_L2, 5)
    cells_HW = np.clip(cells_HW - 1, 0, sum(known_HW.shape))  # without known cells it is not finite
    near_HW, edge_HW = (
        torch.from_numpy(np.exp(-cells_HW * np.float32(pixel_km / km))).to(probability_KHW.device)
        for km in (REACH_KM, EDGE_KM)
    )
    inside_HW = torch.from_numpy(known_HW).to(probability_KHW.device)
    logs, bounds = np.log([mmh for mmh, _ in BOUNDS]), [bound for _, bound in BOUNDS]
    for probability_HW, mmh, share in zip(probability_KHW, rates_mmh, shares_K, strict=True):
        factor = float(np.interp(np.log(mmh), logs, bounds))
        bound_HW = (near_HW * (factor + (1 - factor) * edge_HW)).clamp_(min=share)
        bound_HW.masked_fill_(inside_HW, 1.0)
        torch.minimum(probability_HW, bound_HW, out=probability_HW)


def _best(counts: NDArray[np.float64], least: float, smallest: float, largest: float) -> float:
    middles = (np.arange(BINS) + 0.5) / BINS
    expected = float((counts * middles).sum())
    shown = counts[::-1].cumsum()[::-1]
    hits = (counts * middles)[::-1].cumsum()[::-1]
    csi = hits / np.maximum(shown + expected - hits, 1e-9)
    allowed = (np.arange(BINS) >= round(least * BINS)) & (shown <= largest * expected) & (shown > 0)
    within = allowed & (shown >= smallest * expected)
    chosen = within if within.any() else allowed
    if not chosen.any():
        return 2.0
    best = np.flatnonzero(chosen)[csi[chosen].argmax()] if within.any() else np.flatnonzero(chosen)[0]
    return float(best / BINS)


def _margin(probability_N: Tensor, cut: float) -> Tensor:
    """Return the distance of logits from that of a cut."""
    return torch.logit(probability_N, 1e-6) - float(np.log(min(max(cut, 1e-6), 1 - 1e-6) / max(1 - cut, 1e-6)))
