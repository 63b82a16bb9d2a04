"""PNG pictures of rain rates and probabilities on a grid."""

import io
from functools import lru_cache
from importlib.util import find_spec
from pathlib import Path
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageFont

from core.arrays import BoolField, Float32Field
from core.colours import RAIN_COLOURS, Classes, colours, hatch
from core.errors import UnavailableError

FONT: Final = "mpl-data/fonts/ttf/DejaVuSans.ttf"


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


@lru_cache(maxsize=32)
def picture_font(size: int) -> ImageFont.FreeTypeFont:
    """Return the font of every picture of the project: the one that comes with matplotlib, which is not imported.

    Raises:
        UnavailableError: matplotlib is not installed.
    """
    found = find_spec("matplotlib")
    if found is None or found.origin is None:
        raise UnavailableError("the font of the pictures is missing: matplotlib is not installed")
    return ImageFont.truetype(Path(found.origin).parent / FONT, size)


def _enlarged(cells: NDArray[Any], scale: int) -> NDArray[Any]:
    """Repeat each row and each column `scale` times."""
    return np.repeat(np.repeat(cells, scale, axis=0), scale, axis=1)
