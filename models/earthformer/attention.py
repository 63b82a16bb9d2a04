"""Attention inside cuboids, to the global vectors, and from the cells of a forecast to those of the encoder."""

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from models.earthformer.cuboids import Cuboid, RelativeBias, Size, join, split


class FeedForward(nn.Module):
    """x plus two linear layers of the normalised x, with GELU between them and four times the width."""

    def __init__(self, channels: int, dropout: float) -> None:
        super().__init__()
        self.layers = nn.Sequential(
            nn.LayerNorm(channels),
            nn.Linear(channels, 4 * channels),
            nn.GELU(),
            nn.Dropout(dropout),
            nn.Linear(4 * channels, channels),
            nn.Dropout(dropout),
        )

    def forward(self, x_BTHWC: Tensor) -> Tensor:
        """Return the sum, computed for every cell alone."""
        y_BTHWC: Tensor = x_BTHWC + self.layers(x_BTHWC)
        return y_BTHWC


def _heads(x: Tensor, heads: int) -> Tensor:
    """Reshape (..., L, C) to (..., heads, L, C / heads)."""
    return torch.unflatten(x, -1, (heads, -1)).transpose(-2, -3)


class GlobalVectors(nn.Module):
    """Access of a cuboid attention to the global vectors, which it also updates unless it is the last one."""

    def __init__(self, channels: int, heads: int, dropout: float, *, renew: bool) -> None:
        super().__init__()
        self.heads, self.renew, self.dropout = heads, renew, dropout
        self.norm = nn.LayerNorm(channels)
        self.project = nn.Linear(channels, (3 if renew else 2) * channels, bias=False)
        self.out = nn.Linear(channels, channels) if renew else None

    def keys(self, globals_BGC: Tensor) -> tuple[Tensor, Tensor, Tensor | None]:
        """Return keys, values and, to update them, queries: (B, heads, G, channels per head)."""
        parts = self.project(self.norm(globals_BGC)).chunk(3 if self.renew else 2, dim=-1)
        k, v, *q = (_heads(part, self.heads) for part in parts)
        return k, v, q[0] if q else None

    def renewed(self, globals_BGC: Tensor, q: Tensor, k: Tensor, v: Tensor, mask: Tensor | None) -> Tensor:
        """Return the global vectors after attention to all cells and to each other."""
        if self.out is None:
            return globals_BGC
        y = F.scaled_dot_product_attention(q, k, v, mask, dropout_p=self.dropout if self.training else 0.0)
        new_BGC: Tensor = globals_BGC + self.out(y.transpose(1, 2).flatten(2))
        return new_BGC


class CuboidAttention(nn.Module):
    """x plus self-attention inside cuboids, after layer normalisation (Gao et al. 2022, arXiv:2207.05833, 3.1).

    Args:
        channels: of every cell.
        heads: number of heads that share the channels.
        cuboid: which cells attend to each other.
        block: (time, rows, columns) for which relative positions are learned; other sizes are accepted.
        dropout: of weights and results.
        global_vectors: whether every cell also attends to global vectors.
        renew: whether the global vectors attend to the cells in turn.
    """

    def __init__(
        self,
        channels: int,
        heads: int,
        cuboid: Cuboid,
        block: Size,
        dropout: float,
        *,
        global_vectors: bool = False,
        renew: bool = False,
    ) -> None:
        super().__init__()
        self.heads, self.cuboid, self.dropout = heads, cuboid, dropout
        self.norm = nn.LayerNorm(channels)
        self.project = nn.Linear(channels, 3 * channels, bias=False)
        self.bias = RelativeBias(cuboid.size(block), heads)
        self.out = nn.Sequential(nn.Linear(channels, channels), nn.Dropout(dropout))
        self.globals = GlobalVectors(channels, heads, dropout, renew=renew) if global_vectors else None

    def forward(self, x_BTHWC: Tensor, globals_BGC: Tensor | None = None) -> tuple[Tensor, Tensor | None]:
        """Return cells and global vectors, both updated."""
        _, time, rows, columns, _ = x_BTHWC.shape
        block, dilated = (time, rows, columns), self.cuboid.dilated
        size = self.cuboid.size(block)
        x_BNLC = split(self.norm(x_BTHWC), size, dilated=dilated)
        q, k, v = (_heads(part, self.heads) for part in self.project(x_BNLC).chunk(3, dim=-1))
        filled_NL = self._filled(x_BTHWC, size)
        bias = self.bias(size, size)
        if filled_NL is not None:
            bias = bias + torch.zeros_like(bias[:1, :1]).masked_fill(filled_NL[:, None, None], -torch.inf)
        seen_k, seen_v = k, v
        if self.globals is not None and globals_BGC is not None:
            global_k, global_v, global_q = self.globals.keys(globals_BGC)
            seen_k, seen_v = _with_globals(k, global_k), _with_globals(v, global_v)
            bias = F.pad(bias, (0, globals_BGC.shape[1]))
            if global_q is not None:
                mask = (
                    None
                    if filled_NL is None
                    else F.pad(~filled_NL.flatten(), (0, globals_BGC.shape[1]), value=True)[None]
                )
                every_k = torch.cat([k.transpose(1, 2).flatten(2, 3), global_k], dim=2)
                every_v = torch.cat([v.transpose(1, 2).flatten(2, 3), global_v], dim=2)
                globals_BGC = self.globals.renewed(globals_BGC, global_q, every_k, every_v, mask)
        y_BNLC = self._attend(q, seen_k, seen_v, bias)
        return x_BTHWC + self.out(join(y_BNLC, size, block, dilated=dilated)), globals_BGC

    def _attend(self, q: Tensor, k: Tensor, v: Tensor, bias: Tensor) -> Tensor:
        """Map (B, N, heads, L, c), with a bias (heads, L, K) or (N, heads, L, K), to (B, N, L, C)."""
        count = q.shape[:2]
        if bias.ndim == 4:
            bias = bias.repeat(count[0], 1, 1, 1)
        y = F.scaled_dot_product_attention(
            q.flatten(0, 1),
            k.flatten(0, 1),
            v.flatten(0, 1),
            bias.to(q.dtype),
            dropout_p=self.dropout if self.training else 0.0,
        )
        return torch.unflatten(y.transpose(1, 2).flatten(2), 0, count)

    def _filled(self, x_BTHWC: Tensor, size: Size) -> Tensor | None:
        """Return which cells only pad the cuboids, (N, L); None if there are none."""
        if all(whole % part == 0 for whole, part in zip(x_BTHWC.shape[1:4], size, strict=True)):
            return None
        real = split(torch.ones_like(x_BTHWC[:1, ..., :1]), size, dilated=self.cuboid.dilated)
        return real[0, ..., 0] == 0


def _with_globals(x: Tensor, global_x: Tensor) -> Tensor:
    """Append the global vectors (B, heads, G, c) to the keys or values of every cuboid (B, N, heads, L, c)."""
    return torch.cat([x, global_x[:, None].expand(-1, x.shape[1], -1, -1, -1)], dim=3)


class CrossAttention(nn.Module):
    """x plus attention of every forecast cell to all times of the same cell in the encoder (1 x 1 cuboids)."""

    def __init__(self, channels: int, heads: int, steps: int, dropout: float) -> None:
        super().__init__()
        self.heads, self.dropout = heads, dropout
        self.norm = nn.LayerNorm(channels)
        self.query = nn.Linear(channels, channels, bias=False)
        self.project = nn.Linear(channels, 2 * channels, bias=False)
        self.bias = RelativeBias((steps, 1, 1), heads)
        self.out = nn.Sequential(nn.Linear(channels, channels), nn.Dropout(dropout))

    def forward(self, x_BTHWC: Tensor, encoded_BSHWC: Tensor) -> Tensor:
        """Return the updated cells of the forecast."""
        _, leads, rows, columns, _ = x_BTHWC.shape
        queries = self.query(self.norm(x_BTHWC)).permute(0, 2, 3, 1, 4).flatten(0, 2)
        k, v = self.project(encoded_BSHWC).permute(0, 2, 3, 1, 4).flatten(0, 2).chunk(2, dim=-1)
        y = F.scaled_dot_product_attention(
            _heads(queries, self.heads),
            _heads(k, self.heads),
            _heads(v, self.heads),
            self.bias((leads, 1, 1), (encoded_BSHWC.shape[1], 1, 1)).to(queries.dtype),
            dropout_p=self.dropout if self.training else 0.0,
        )
        y_BHWTC = torch.unflatten(y.transpose(1, 2).flatten(2), 0, (-1, rows, columns))
        z_BTHWC: Tensor = x_BTHWC + self.out(y_BHWTC.permute(0, 3, 1, 2, 4))
        return z_BTHWC
