"""The largest square image whose training fits into a memory: predicted from smaller ones, then measured on shapes."""

from collections.abc import Callable
from math import isqrt
from typing import Final

from core.errors import InputError

STEP: Final = 4
"""Edges are multiples of it, so that a multi-scale stack of six layers loses no row."""
FIRST: Final = (32, 64)
ROUNDS: Final = 8


def largest_edge(bytes_of: Callable[[int], int], limit_bytes: int) -> int:
    """Return the largest edge, a multiple of 4, at which a model needs at most a number of bytes.

    What a model saves grows with the pixels (attention over all pixels: faster), so a line through the two measured
    sizes nearest to the limit predicts the next one to measure. The result fits, and 4 pixels more do not.

    Args:
        bytes_of: measures the bytes of an edge.
        limit_bytes: what is there.

    Raises:
        InputError: not even the smallest image fits.
    """
    measured = {edge: bytes_of(edge) for edge in FIRST}
    for _ in range(ROUNDS):
        near, far = sorted(measured, key=lambda edge: abs(measured[edge] - limit_bytes))[:2]
        slope = (measured[far] - measured[near]) / (far**2 - near**2)
        pixels = near**2 + (limit_bytes - measured[near]) / slope
        edge = max(isqrt(max(int(pixels), 0)) // STEP * STEP, STEP)
        if edge in measured:
            break
        measured[edge] = bytes_of(edge)
    edge = max((one for one in measured if measured[one] <= limit_bytes), default=0)
    while edge and bytes_of(edge + STEP) <= limit_bytes:
        edge += STEP
    if not edge:
        raise InputError(f"expected a memory in which an image of {min(measured)} pixels fits, got {limit_bytes} bytes")
    return edge
