"""Skip connections of the paper for any number of layers: which earlier layers are added to a layer's input."""

from collections.abc import Callable

from core.registry import Registry

Skip = Callable[[int, tuple[int, ...]], list[int]]
"""(layer, level of every layer) -> earlier layers whose output is added, besides the layer just below."""

SKIPS: Registry[Skip] = Registry("skip")


@SKIPS.register("none")
def no_skip(layer: int, levels: tuple[int, ...]) -> list[int]:
    """Add no layer but the one just below."""
    del layer, levels
    return []


@SKIPS.register("unet")
def unet(layer: int, levels: tuple[int, ...]) -> list[int]:
    """Add, on the way up, the mirrored layer of the same resolution (the paper's default, section 4.1)."""
    mirror = len(levels) - 1 - layer
    return [mirror] if mirror < layer - 1 else []


@SKIPS.register("unet3+")
def unet3plus(layer: int, levels: tuple[int, ...]) -> list[int]:
    """Add, on the way up, every layer of the way down that is as fine or finer, and every coarser one of the way up."""
    half = len(levels) // 2
    if layer < half:
        return []
    down = [j for j in range(half) if levels[j] <= levels[layer]]
    up = [j for j in range(half, layer) if levels[j] > levels[layer]]
    return [j for j in down + up if j != layer - 1]


@SKIPS.register("full")
def full(layer: int, levels: tuple[int, ...]) -> list[int]:
    """Add every earlier layer (the paper's FC)."""
    del levels
    return list(range(max(layer - 1, 0)))
