"""Rain rate in classic radar colours: transparent where dry, grey where there is no data."""

from typing import Final

import numpy as np
from numpy.typing import NDArray

Float32Field = NDArray[np.float32]
Colour = tuple[int, int, int, int]

RAIN_COLOURS: Final[tuple[tuple[float, Colour], ...]] = (
    (0.1, (170, 220, 255, 255)),
    (0.5, (90, 165, 255, 255)),
    (1.0, (30, 95, 225, 255)),
    (2.0, (30, 170, 70, 255)),
    (5.0, (250, 220, 40, 255)),
    (10.0, (240, 120, 20, 255)),
    (30.0, (210, 20, 40, 255)),
)
"""From this rate in mm/h on, this colour (red, green, blue, opacity)."""

DRY: Final[Colour] = (0, 0, 0, 0)
NO_DATA: Final[Colour] = (128, 128, 128, 150)

_PALETTE: Final = np.array([DRY, *(colour for _, colour in RAIN_COLOURS), NO_DATA], np.uint8)
_EDGES_MMH: Final = np.array([edge for edge, _ in RAIN_COLOURS], np.float32)


def colours(rate_mmh_HW: Float32Field) -> NDArray[np.uint8]:
    """Red, green, blue and opacity of every cell, shape (H, W, 4)."""
    classes_HW = np.digitize(rate_mmh_HW, _EDGES_MMH)
    return _PALETTE[np.where(np.isnan(rate_mmh_HW), len(_PALETTE) - 1, classes_HW)]
