"""PNG pictures of rain rates and probabilities on a grid."""

import io
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from core.arrays import BoolField, Float32Field
from core.colours import RAIN_COLOURS, Classes, colours, hatch


def image_png(
    field_HW: Float32Field, *, scale: int = 1, classes: Classes = RAIN_COLOURS, known_HW: BoolField | None = None
) -> bytes:
    """Return a PNG with `scale` x `scale` pixels per grid cell; row 0 (north) is on top.

    Args:
        field_HW: rates of a forecast or of an observed frame in mm/h; with other `classes` probabilities.
        scale: see `visible_scale` for small grids.
        classes: colours from which value on.
        known_HW: grid cells with a value that is not known are hatched; None hatches none.
    """
    pixels_HWC = _enlarged(colours(field_HW, classes), scale)
    if known_HW is not None:
        pixels_HWC = hatch(pixels_HWC, _enlarged(np.isfinite(field_HW) & ~known_HW, scale))
    picture = Image.fromarray(pixels_HWC)
    buffer = io.BytesIO()
    picture.save(buffer, format="PNG")
    return buffer.getvalue()


def visible_scale(shape: tuple[int, int], *, wanted_pixels: int = 480) -> int:
    """Return the pixels per grid cell that make the longer side about `wanted_pixels`, at least 1."""
    return max(1, round(wanted_pixels / max(shape)))


def _enlarged(cells: NDArray[Any], scale: int) -> NDArray[Any]:
    """Repeat each row and each column `scale` times."""
    return np.repeat(np.repeat(cells, scale, axis=0), scale, axis=1)
