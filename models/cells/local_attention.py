"""Attention of each pixel over a window around it, tile by tile, so that no (B, H, W, window^2) tensor is allocated."""

from functools import lru_cache
from typing import Final, cast

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.utils.checkpoint import checkpoint

WINDOW: Final = 30
TILE: Final = 16
"""Edge of a tile of queries: larger tiles share more keys, but compare each query with more keys outside its window."""


class LocalAttention(nn.Module):
    """Single-head dot-product attention over the window (PrecipLSTM, Ma et al. 2022, doi:10.1109/TGRS.2022.3198222).

    An even window extends one pixel further up and left. Offsets outside the field count with logit 0 and value 0.
    """

    def __init__(self, channels: int, window: int = WINDOW) -> None:
        super().__init__()
        self.window = window
        self.query = nn.Conv2d(channels, channels, 1, bias=False)
        self.key = nn.Conv2d(channels, channels, 1, bias=False)
        self.value = nn.Conv2d(channels, channels, 1, bias=False)

    def forward(self, x_BCHW: Tensor) -> Tensor:
        """Return the attended value of each pixel, (B, C, H, W)."""
        return local_attention(self.query(x_BCHW), self.key(x_BCHW), self.value(x_BCHW), self.window)


def local_attention(q_BCHW: Tensor, k_BCHW: Tensor, v_BCHW: Tensor, window: int) -> Tensor:
    """Return the softmax over all window^2 offsets of <q(p), k(p + offset)>, applied to v; zeros pad the field.

    The field is cut into strips of tiles; the queries of a tile are compared with the keys of all its windows at once.
    Only q, k and v are saved for the gradient: each strip is computed again in the backward pass.
    """
    height, width = q_BCHW.shape[-2:]
    rows, columns = _tile_edge(height), _tile_edge(width)
    kv_BCHW = torch.cat([k_BCHW, v_BCHW], dim=1)  # cut into tiles together: half as many, longer copies
    strips = []
    for top in range(0, height, rows):
        inputs = (q_BCHW, kv_BCHW, top, rows, columns, window)
        if torch.is_grad_enabled():
            strips.append(cast(Tensor, checkpoint(_strip, *inputs, use_reentrant=False, preserve_rng_state=False)))
        else:
            strips.append(_strip(*inputs))
    return torch.cat(strips, dim=2)[..., :height, :width]


def _strip(q_BCHW: Tensor, kv_BCHW: Tensor, top: int, rows: int, columns: int, window: int) -> Tensor:
    """Return the attention of the row of tiles that starts at `top`: (B, C, rows, whole tiles of columns)."""
    height, width = q_BCHW.shape[-2:]
    right, below = -width % columns, top + rows - height  # a negative padding cuts
    before, after = window // 2, window - 1 - window // 2
    around = (before, right + after, before - top, below + after)
    q_BNQC = _tiles(F.pad(q_BCHW, (0, right, -top, below)), columns, columns)
    k_BNKC, v_BNKC = _tiles(F.pad(kv_BCHW, around), columns + window - 1, columns).chunk(2, dim=3)
    bias = _outside_window(rows, columns, window, q_BCHW.dtype, q_BCHW.device)
    y_BNQC = F.scaled_dot_product_attention(q_BNQC, k_BNKC, v_BNKC, attn_mask=bias, scale=1.0)
    return y_BNQC.reshape(*y_BNQC.shape[:2], rows, columns, -1).permute(0, 4, 2, 1, 3).flatten(3)


def _tiles(x_BCHW: Tensor, width: int, step: int) -> Tensor:
    """Cut a strip into pieces of `width` columns, one every `step` columns: (B, piece, pixel, C)."""
    x_BHWC = x_BCHW.permute(0, 2, 3, 1)
    starts = range(0, x_BHWC.shape[2] - width + 1, step)
    return torch.stack([x_BHWC[:, :, start : start + width] for start in starts], dim=1).flatten(2, 3)


def _outside_window(rows: int, columns: int, window: int, dtype: torch.dtype, device: torch.device) -> Tensor:
    """Return (query, key) of a tile: 0 for a key in the query's window, else minus infinity; cached, as it is large."""
    if torch.compiler.is_compiling():
        return _made_bias(rows, columns, window, dtype, device)
    return _kept_bias(rows, columns, window, dtype, device)


def _made_bias(rows: int, columns: int, window: int, dtype: torch.dtype, device: torch.device) -> Tensor:
    inside = []
    for edge in (rows, columns):
        offset = torch.arange(edge + window - 1, device=device)[None, :] - torch.arange(edge, device=device)[:, None]
        inside.append((offset >= 0) & (offset < window))
    both = inside[0][:, None, :, None] & inside[1][None, :, None, :]
    return torch.where(both.flatten(2).flatten(0, 1), 0.0, float("-inf")).to(dtype)


@lru_cache(maxsize=16)
def _kept_bias(rows: int, columns: int, window: int, dtype: torch.dtype, device: torch.device) -> Tensor:
    with torch.inference_mode(False):  # cached by a forecast, used by later training steps, too
        return _made_bias(rows, columns, window, dtype, device)


def _tile_edge(length: int) -> int:
    """Return an edge of at most `TILE` such that equal tiles cover the length with little excess."""
    return -(-length // -(-length // TILE))
