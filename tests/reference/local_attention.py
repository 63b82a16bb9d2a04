"""PrecipLSTM's attention of each pixel over a 30 x 30 window, offset by offset.

Published code has a CUDA extension of two functions for it, which iterate over the offsets of the window, save only
their inputs for the gradient, and take and return the whole (B, 900, H, W) tensor of weights. So do these; windows
unfolded into a tensor of their own would need 3.5 GB at each layer and step of 124 x 124 pixels and 64 channels, and
more time.
"""

from typing import Any, Final

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.autograd import Function

WINDOW: Final = 30
BEFORE: Final = WINDOW // 2
AROUND: Final = (BEFORE, WINDOW - 1 - BEFORE) * 2


def _shifted(padded_BCHW: Tensor, height: int, width: int) -> list[Tensor]:
    """Yield views of a padded field, one per offset of the window, row-major."""
    return [padded_BCHW[:, :, dy : dy + height, dx : dx + width] for dy in range(WINDOW) for dx in range(WINDOW)]


def _products(a_BCHW: Tensor, b_BCHW: Tensor) -> Tensor:
    """Return (B, offset, H, W): at each pixel, a times b at the pixel plus the offset, summed over channels."""
    batch, _, height, width = a_BCHW.shape
    products_BNHW = a_BCHW.new_empty(batch, WINDOW**2, height, width)
    for n, b in enumerate(_shifted(F.pad(b_BCHW, AROUND), height, width)):
        torch.linalg.vecdot(a_BCHW, b, dim=1, out=products_BNHW[:, n])
    return products_BNHW


def _gathered(weights_BNHW: Tensor, values_BCHW: Tensor) -> Tensor:
    """Return (B, C, H, W): the sum over offsets of weight times the value at the pixel plus the offset."""
    sum_BCHW = torch.zeros_like(values_BCHW)
    for n, value in enumerate(_shifted(F.pad(values_BCHW, AROUND), *values_BCHW.shape[-2:])):
        sum_BCHW.addcmul_(weights_BNHW[:, n : n + 1], value)
    return sum_BCHW


def _scattered(weights_BNHW: Tensor, values_BCHW: Tensor) -> Tensor:
    """Return (B, C, H, W): each value times its weight, added at the pixel plus the offset; transposes `_gathered`."""
    height, width = values_BCHW.shape[-2:]
    sum_BCHW = F.pad(torch.zeros_like(values_BCHW), AROUND)
    for n, target in enumerate(_shifted(sum_BCHW, height, width)):
        target.addcmul_(weights_BNHW[:, n : n + 1], values_BCHW)
    return sum_BCHW[:, :, BEFORE : BEFORE + height, BEFORE : BEFORE + width]


class Similarity(Function):
    """Query times key at every offset; 0 outside the field."""

    @staticmethod
    def forward(ctx: Any, query_BCHW: Tensor, key_BCHW: Tensor) -> Tensor:
        """Return the products, (B, 900, H, W)."""
        ctx.save_for_backward(query_BCHW, key_BCHW)
        return _products(query_BCHW, key_BCHW)

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor, Tensor]:
        """Return the gradients of query and key."""
        query_BCHW, key_BCHW = ctx.saved_tensors
        return _gathered(grads[0], key_BCHW), _scattered(grads[0], query_BCHW)


class Weighting(Function):
    """The values of a window, weighted and summed; 0 outside the field."""

    @staticmethod
    def forward(ctx: Any, weights_BNHW: Tensor, value_BCHW: Tensor) -> Tensor:
        """Return the weighted sums, (B, C, H, W)."""
        ctx.save_for_backward(weights_BNHW, value_BCHW)
        return _gathered(weights_BNHW, value_BCHW)

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor, Tensor]:
        """Return the gradients of weights and values."""
        weights_BNHW, value_BCHW = ctx.saved_tensors
        return _products(grads[0], value_BCHW), _scattered(weights_BNHW, grads[0])


class LocalAttention(nn.Module):
    """Dot-product attention over the window; an even window extends one pixel further up and left."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.query = nn.Conv2d(channels, channels, 1, bias=False)
        self.key = nn.Conv2d(channels, channels, 1, bias=False)
        self.value = nn.Conv2d(channels, channels, 1, bias=False)

    def forward(self, x_BCHW: Tensor) -> Tensor:
        """Return the attended value of each pixel."""
        logits_BNHW = Similarity.apply(self.query(x_BCHW), self.key(x_BCHW))
        attended: Tensor = Weighting.apply(torch.softmax(logits_BNHW, dim=1), self.value(x_BCHW))
        return attended
