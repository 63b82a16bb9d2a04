"""Colour classes of rain rates, amounts and probabilities: transparent below the lowest class, grey without data."""

from typing import Final

import numpy as np
from numpy.typing import NDArray

from core.arrays import BoolField, Float32Field

Colour = tuple[int, int, int, int]

RAIN_COLOURS: Final[tuple[tuple[float, Colour], ...]] = (
    (0.1, (174, 219, 245, 255)),
    (0.5, (96, 173, 236, 255)),
    (1.0, (38, 116, 208, 255)),
    (2.0, (24, 62, 148, 255)),
    (5.0, (255, 228, 92, 255)),
    (10.0, (243, 132, 24, 255)),
    (30.0, (178, 10, 84, 255)),
)
"""Colour (red, green, blue, opacity) of rates from each value in mm/h upwards, and of amounts in mm.

Light to dark blue, then light yellow to dark red: blue and yellow differ in every common colour vision deficiency, and
within each half the lightness does.
"""

CHANCE_COLOURS: Final[tuple[tuple[float, Colour], ...]] = (
    (0.05, (226, 214, 240, 255)),
    (0.1, (204, 184, 228, 255)),
    (0.2, (180, 149, 214, 255)),
    (0.4, (153, 111, 197, 255)),
    (0.6, (124, 71, 173, 255)),
    (0.8, (92, 33, 139, 255)),
    (0.95, (58, 6, 98, 255)),
)
"""Colour of probabilities from each value upwards; none is shared with rain rates, so maps cannot be confused."""

DRY: Final[Colour] = (0, 0, 0, 0)
NO_DATA: Final[Colour] = (128, 128, 128, 150)
HATCH: Final[Colour] = (100, 100, 100, 255)
HATCH_PIXELS: Final = 8
"""Distance between the diagonal lines of the hatching along a row."""

Classes = tuple[tuple[float, Colour], ...]


def colours(field_HW: Float32Field, classes: Classes = RAIN_COLOURS) -> NDArray[np.uint8]:
    """Return red, green, blue and opacity of every grid cell, shape (H, W, 4).

    Args:
        field_HW: rates in mm/h; with `CHANCE_COLOURS` probabilities.
        classes: lower limit and colour of each class, ascending.
    """
    palette = np.array([DRY, *(colour for _, colour in classes), NO_DATA], np.uint8)
    classes_HW = np.digitize(field_HW, np.array([edge for edge, _ in classes], np.float32))
    return palette[np.where(np.isnan(field_HW), len(palette) - 1, classes_HW)]


def hatch(picture_HWC: NDArray[np.uint8], unknown_HW: BoolField) -> NDArray[np.uint8]:
    """Draw diagonal lines over the pixels where the value is not known; colours between the lines stay visible."""
    rows_H, cols_W = (np.arange(size) for size in unknown_HW.shape)
    lines_HW = unknown_HW & ((rows_H[:, None] + cols_W) % HATCH_PIXELS == 0)
    return np.where(lines_HW[..., None], np.array(HATCH, np.uint8), picture_HWC)


def css(colour: Colour) -> str:
    """Return a colour as CSS has it: `rgba(174, 219, 245, 1.00)`."""
    red, green, blue, opacity = colour
    return f"rgba({red}, {green}, {blue}, {opacity / 255:.2f})"
