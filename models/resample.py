"""Between the resolutions of a multi-scale stack."""

from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor
from torch.autograd.function import once_differentiable


def resample(x_BCHW: Tensor, size: tuple[int, int]) -> Tensor:
    """Max-pool down or bilinear up to a size; the same size is returned as it is.

    Going down, the window is the power of two between the levels, so that odd sizes lose their last row or column;
    going up, the exact size of the finer level is restored.
    """
    height, width = x_BCHW.shape[-2:]
    if (height, width) == size:
        return x_BCHW
    if size[0] <= height and size[1] <= width:
        window = 1 << max((height // size[0]).bit_length(), (width // size[1]).bit_length()) - 1
        return _pooled(x_BCHW, window)
    return F.interpolate(x_BCHW, size=size, mode="bilinear", align_corners=False)


def _pooled(x_BCHW: Tensor, window: int) -> Tensor:
    if torch.compiler.is_compiling() or not torch.is_grad_enabled():
        return F.max_pool2d(x_BCHW, window)
    result: Tensor = _MaxPool.apply(x_BCHW, window)  # type: ignore[no-untyped-call]
    return result


class _MaxPool(torch.autograd.Function):
    """Keeps its input, which others keep as well, and finds the largest again, instead of its 64-bit indices."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, window: int) -> Tensor:
        ctx.save_for_backward(x)
        ctx.window = window
        return F.max_pool2d(x, window)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor, None]:
        (x,) = ctx.saved_tensors
        edge = [ctx.window, ctx.window]
        _, indices = torch.ops.aten.max_pool2d_with_indices(x, edge)
        by_input = torch.ops.aten.max_pool2d_with_indices_backward(
            gradient, x, edge, edge, [0, 0], [1, 1], False, indices
        )
        return by_input, None
