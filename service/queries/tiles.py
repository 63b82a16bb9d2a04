"""Map tiles: squares of Web Mercator as small pictures with a palette."""

import io
import math
from typing import Final

import numpy as np
from PIL import Image

from core.arrays import BoolField, Float32Field
from core.colours import HATCH, HATCH_PIXELS, NO_DATA, Classes
from core.errors import InputError
from service.queries.maps import MERCATOR_M, Indices, View

DEEPEST: Final = 14
"""Largest zoom level: a pixel of 10 m, a hundredth of a grid cell."""

SIDE_PIXELS: Final = 256
HATCH_NO_DATA: Final = (88, 88, 88, 200)


def tile_view(zoom: int, column: int, row: int, scale: int = 1) -> View:
    """Return what a tile of the usual scheme shows: row 0 is the northernmost, `scale` 2 doubles the pixels.

    Raises:
        InputError: no such tile.
    """
    across = 2**zoom if 0 <= zoom <= DEEPEST else 0
    if not (0 <= column < across and 0 <= row < across):
        raise InputError(
            f"tile: expected a zoom level of 0 to {DEEPEST} and x and y below 2**z, got {zoom}/{column}/{row}"
        )
    edge_m = math.pi * MERCATOR_M
    side_m = 2 * edge_m / across
    west, north = column * side_m - edge_m, edge_m - row * side_m
    return View("EPSG:3857", west, north - side_m, west + side_m, north, SIDE_PIXELS * scale, SIDE_PIXELS * scale)


def tile_png(field_HW: Float32Field, cells_HW: Indices, classes: Classes, known_HW: BoolField | None = None) -> bytes:
    """Return a tile: transparent where dry and outside the grid, grey with falling lines without radar data.

    Args:
        field_HW: field on the grid.
        cells_HW: grid cell of each pixel, from `service.queries.maps.cells_of`.
        classes: the colours.
        known_HW: mask on the grid; rising lines lie over values where it is False. None draws no such lines.
    """
    value_HW = np.where(cells_HW < 0, np.float32(0), field_HW.reshape(-1)[cells_HW])
    index_HW = np.digitize(value_HW, np.array([edge for edge, _ in classes], np.float32)).astype(np.uint8)
    no_data, lines, no_data_lines = (len(classes) + more for more in (1, 2, 3))
    rows_H, cols_W = (np.arange(size) for size in index_HW.shape)
    missing_HW = np.isnan(value_HW)
    index_HW[missing_HW] = no_data
    index_HW[missing_HW & ((rows_H[:, None] - cols_W) % (2 * HATCH_PIXELS) == 0)] = no_data_lines
    if known_HW is not None:
        unknown_HW = ~missing_HW & (cells_HW >= 0) & ~known_HW.reshape(-1)[cells_HW]
        index_HW[unknown_HW & ((rows_H[:, None] + cols_W) % HATCH_PIXELS == 0)] = lines
    palette = np.array([(0, 0, 0, 0), *(colour for _, colour in classes), NO_DATA, HATCH, HATCH_NO_DATA], np.uint8)
    picture = Image.fromarray(index_HW)
    picture.putpalette(palette[:, :3].tobytes())
    buffer = io.BytesIO()
    picture.save(buffer, format="PNG", compress_level=3, transparency=palette[:, 3].tobytes())
    return buffer.getvalue()
