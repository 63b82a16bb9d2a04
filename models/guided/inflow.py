"""Bounds of probabilities where rain can flow in from outside the observed area."""

from typing import Final

import cv2
import numpy as np
import torch
from torch import Tensor

from core.arrays import BoolField

REACH_KM: Final = 50.0
"""Distance beyond the known area over which the bound falls to 1/e."""
BOUNDS: Final = ((0.5, 0.65), (2.0, 0.5), (5.0, 0.35))
"""Threshold in mm/h and factor of the bound beyond `EDGE_KM`; between them by the logarithm of the threshold."""
EDGE_KM: Final = 5.0
"""Distance over which that factor falls from 1: next to the known area its value still says a lot."""


def bound_inflow(probability_KHW: Tensor, known_HW: BoolField, pixel_km: float, rates_mmh: tuple[float, ...]) -> None:
    """Bound the probabilities, in place, where a forecast does not rest on an observation.

    There the value of the edge of the observed area is carried on, which says less the farther it is. Known cells stay.

    Args:
        probability_KHW: not rising with the threshold, which stays so; NaN stays.
        known_HW: where a forecast rests on an observation.
        pixel_km: edge of a cell.
        rates_mmh: thresholds.
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
    for probability_HW, mmh in zip(probability_KHW, rates_mmh, strict=True):
        factor = float(np.interp(np.log(mmh), logs, bounds))
        bound_HW = near_HW * (factor + (1 - factor) * edge_HW)
        bound_HW.masked_fill_(inside_HW, 1.0)
        torch.minimum(probability_HW, bound_HW, out=probability_HW)
