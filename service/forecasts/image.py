"""Fields as a PNG."""

import io

import numpy as np
from PIL import Image

from core.arrays import Float32Field
from core.colours import RAIN_COLOURS, Classes, colours


def image_png(field_HW: Float32Field, *, scale: int = 1, classes: Classes = RAIN_COLOURS) -> bytes:
    """A PNG with `scale` x `scale` pixels per cell; row 0 (north) is on top.

    Works for forecasts and observed frames alike, and by other classes for probabilities; see `visible_scale` for
    small grids.
    """
    cells_HWC = colours(field_HW, classes)
    picture = Image.fromarray(np.repeat(np.repeat(cells_HWC, scale, axis=0), scale, axis=1))
    buffer = io.BytesIO()
    picture.save(buffer, format="PNG")
    return buffer.getvalue()


def visible_scale(shape: tuple[int, int], *, due_pixels: int = 480) -> int:
    """Pixels per cell that make the longer side about `due_pixels`, at least 1."""
    return max(1, round(due_pixels / max(shape)))
