"""Rain rate as a picture: classic radar colours, transparent where dry, grey where there is no data."""

import io
from typing import Final

import numpy as np
from numpy.typing import NDArray
from PIL import Image

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


def image_png(rate_mmh_HW: Float32Field, *, scale: int = 1) -> bytes:
    """A PNG with `scale` x `scale` pixels per cell; row 0 (north) is on top.

    Works for forecasts and observed frames alike; see `visible_scale` for small grids.
    """
    cells_HWC = colours(rate_mmh_HW)
    picture = Image.fromarray(np.repeat(np.repeat(cells_HWC, scale, axis=0), scale, axis=1))
    buffer = io.BytesIO()
    picture.save(buffer, format="PNG")
    return buffer.getvalue()


def visible_scale(shape: tuple[int, int], *, due_pixels: int = 480) -> int:
    """Pixels per cell that make the longer side about `due_pixels`, at least 1."""
    return max(1, round(due_pixels / max(shape)))
