"""Cuboids: which cells of a (time, rows, columns) block attend to each other."""

from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from core.registry import Registry

Size = tuple[int, int, int]


class Cuboid(NamedTuple):
    """The shape of a cuboid in time steps, rows and columns; None is the whole axis.

    A local cuboid holds neighbours, a dilated one cells at equal distances over the whole axis (arXiv:2207.05833, 3.1).
    """

    time: int | None
    rows: int | None
    columns: int | None
    dilated: bool = False

    def size(self, block: Size) -> Size:
        """Return the cuboid's shape in a block of this size."""
        time, rows, columns = (
            whole if own is None else min(own, whole) for own, whole in zip(self, block, strict=False)
        )
        return time, rows, columns


PATTERNS: Registry[tuple[Cuboid, ...]] = Registry("cuboid pattern")
PATTERNS.register("axial")((Cuboid(None, 1, 1), Cuboid(1, None, 1), Cuboid(1, 1, None)))
PATTERNS.register("divided")((Cuboid(None, 1, 1), Cuboid(1, None, None)))
PATTERNS.register("local-dilated")((Cuboid(None, 1, 1), Cuboid(1, 4, 4), Cuboid(1, 4, 4, dilated=True)))


def split(x_BTHWC: Tensor, size: Size, *, dilated: bool) -> Tensor:
    """Split into (B, cuboids, cells of a cuboid, C); sides that the cuboids do not fill are padded with zeros."""
    ends = [-whole % part for whole, part in zip(x_BTHWC.shape[1:4], size, strict=True)]
    if any(ends):
        x_BTHWC = F.pad(x_BTHWC, (0, 0, 0, ends[2], 0, ends[1], 0, ends[0]))
    time, rows, columns = (whole // part for whole, part in zip(x_BTHWC.shape[1:4], size, strict=True))
    pairs = [(n, part) for n, part in zip((time, rows, columns), size, strict=True)]
    shape = [edge for n, part in pairs for edge in ((part, n) if dilated else (n, part))]
    x = x_BTHWC.reshape(x_BTHWC.shape[0], *shape, x_BTHWC.shape[-1])
    order = (0, 2, 4, 6, 1, 3, 5, 7) if dilated else (0, 1, 3, 5, 2, 4, 6, 7)
    return x.permute(order).flatten(4, 6).flatten(1, 3)


def join(x_BNLC: Tensor, size: Size, block: Size, *, dilated: bool) -> Tensor:
    """Invert `split`: return (B, T, H, W, C) of the block's size."""
    counts = [-(-whole // part) for whole, part in zip(block, size, strict=True)]
    x = x_BNLC.reshape(x_BNLC.shape[0], *counts, *size, x_BNLC.shape[-1])
    x = x.permute((0, 4, 1, 5, 2, 6, 3, 7) if dilated else (0, 1, 4, 2, 5, 3, 6, 7))
    x_BTHWC = x.reshape(x.shape[0], *(n * part for n, part in zip(counts, size, strict=True)), x.shape[-1])
    return x_BTHWC[:, : block[0], : block[1], : block[2]]


class RelativeBias(nn.Module):
    """A learned number per head and offset, added to the attention's logits.

    Offsets beyond those of the size in training use the number of the largest one.
    """

    def __init__(self, size: Size, heads: int) -> None:
        super().__init__()
        self.size = size
        time, rows, columns = (2 * edge - 1 for edge in size)
        self.table = nn.Parameter(torch.empty(heads, time, rows, columns))
        nn.init.trunc_normal_(self.table, std=0.02)

    def forward(self, queries: Size, keys: Size) -> Tensor:
        """Return (heads, cells of the queries, cells of the keys) for two blocks that start at the same corner."""
        time, rows, columns = (self._offsets(n, queries[n], keys[n]) for n in range(3))
        bias = self.table[
            :,
            time[:, None, None, :, None, None],
            rows[None, :, None, None, :, None],
            columns[None, None, :, None, None, :],
        ]
        return bias.flatten(4, 6).flatten(1, 3)

    def _offsets(self, axis: int, queries: int, keys: int) -> Tensor:
        device, last = self.table.device, self.size[axis] - 1
        offset = torch.arange(queries, device=device)[:, None] - torch.arange(keys, device=device)
        return offset.clamp(-last, last) + last
