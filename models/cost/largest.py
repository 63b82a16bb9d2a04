"""The largest square image whose training fits into a memory: measured on shapes until the limit is enclosed."""

from collections.abc import Callable, Mapping
from itertools import count
from typing import Final

from core.errors import InputError

STEP: Final = 4
"""Edges are multiples of it, so that a multi-scale stack of six layers loses no row."""
FIRST: Final = 64


def largest_edge(bytes_of: Callable[[int], int], limit_bytes: int) -> int:
    """Return the largest edge, a multiple of 4, at which a model needs at most a number of bytes.

    The result fits, and 4 pixels more do not: both were measured. The next edge to measure is on the line through two
    measured sizes, since most models save a number of bytes for each pixel; but sides that are filled up to a multiple
    (RainNet) grow in steps, and attention faster, so that every third one halves the interval.

    Args:
        bytes_of: measures the bytes of an edge.
        limit_bytes: what is there.

    Raises:
        InputError: not even the smallest image fits.
    """
    known = {edge: bytes_of(edge) for edge in (FIRST, 2 * FIRST)}
    for turn in count():
        fits = max((edge for edge, found in known.items() if found <= limit_bytes), default=0)
        too_large = min((edge for edge, found in known.items() if found > limit_bytes), default=None)
        if too_large is not None and too_large - fits <= STEP:
            break
        halfway = 2 * fits if too_large is None else (fits + too_large) // (2 * STEP) * STEP
        edge = halfway if turn % 3 == 2 else _on_the_line(known, limit_bytes)
        edge = max(edge, fits + STEP)
        edge = edge if too_large is None else min(edge, too_large - STEP)
        known[edge] = bytes_of(edge)
    if not fits:
        raise InputError(f"expected a memory in which an image of {STEP} pixels fits, got {limit_bytes} bytes")
    return fits


def _on_the_line(known: Mapping[int, int], limit_bytes: int) -> int:
    """Return the edge, rounded down, at which a line through the two nearest sizes, bytes by pixels, has the limit."""
    (x, low), (y, high) = sorted(known.items(), key=lambda item: abs(item[1] - limit_bytes))[:2]
    if low == high:
        return max(x, y)
    pixels = x**2 + (limit_bytes - low) * (y**2 - x**2) / (high - low)
    return int(max(pixels, 0) ** 0.5) // STEP * STEP
