"""The largest square image whose training fits into a memory: measured on shapes until the limit is enclosed."""

from collections.abc import Callable
from typing import Final

from core.errors import InputError

STEP: Final = 4
"""Edges are multiples of it, so that a multi-scale stack of six layers loses no row."""
FIRST: Final = 64


def largest_edge(bytes_of: Callable[[int], int], limit_bytes: int) -> int:
    """Return the largest edge, a multiple of 4, at which a model needs at most a number of bytes.

    The edge is doubled until it no longer fits, then the interval is halved. What a model saves grows with the pixels,
    but in steps where sides are filled up to a multiple (RainNet): a line through two sizes predicts nothing there. The
    result fits, and 4 pixels more do not.

    Args:
        bytes_of: measures the bytes of an edge.
        limit_bytes: what is there.

    Raises:
        InputError: not even the smallest image fits.
    """
    fits, too_large = 0, FIRST
    while bytes_of(too_large) <= limit_bytes:
        fits, too_large = too_large, 2 * too_large
    while too_large - fits > STEP:
        edge = (fits + too_large) // (2 * STEP) * STEP
        if bytes_of(edge) <= limit_bytes:
            fits = edge
        else:
            too_large = edge
    if not fits:
        raise InputError(f"expected a memory in which an image of {STEP} pixels fits, got {limit_bytes} bytes")
    return fits
