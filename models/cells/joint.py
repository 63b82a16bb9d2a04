"""Convolutions of several inputs at once, as the gates of every cell use them."""

from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, cat, nn, stack
from torch.autograd.function import once_differentiable


class CatConv2d(nn.Conv2d):
    """Convolution of the concatenation of its inputs along the channels; the size is unchanged."""

    def __init__(self, in_channels: int, out_channels: int, kernel_size: int) -> None:
        super().__init__(in_channels, out_channels, kernel_size, padding=kernel_size // 2)

    def forward(self, *inputs_BCHW: Tensor) -> Tensor:
        """Return (B, out_channels, H, W) from tensors of one size whose channels add up to `in_channels`."""
        return _convolved(self.weight, self.bias, *inputs_BCHW)


class JointConv2d(nn.Module):
    """Sum of one convolution per input, each with its own weight and bias, computed as a single convolution.

    The parameters are those of separate convolutions, as in the reference, so its checkpoints load and its counts hold.
    """

    def __init__(self, in_channels: tuple[int, ...], out_channels: int, kernel_size: int) -> None:
        super().__init__()
        self.parts = nn.ModuleList(nn.Conv2d(channels, out_channels, kernel_size) for channels in in_channels)

    def forward(self, *inputs_BCHW: Tensor) -> Tensor:
        """Return (B, out_channels, H, W) from one tensor per part, all of one size."""
        return _convolved(*self._joined(), *inputs_BCHW)

    def merged(self) -> CatConv2d:
        """Return the same layer with its parts joined permanently, for a model that is not trained further."""
        weight, bias = self._joined()
        conv = CatConv2d(weight.shape[1], weight.shape[0], weight.shape[2])
        conv.load_state_dict({"weight": weight, "bias": bias})
        return conv.to(weight)

    def _joined(self) -> tuple[Tensor, Tensor]:
        weight = cat([part.get_parameter("weight") for part in self.parts], dim=1)
        return weight, stack([part.get_parameter("bias") for part in self.parts]).sum(dim=0)


def _convolved(weight: Tensor, bias: Tensor | None, *inputs_BCHW: Tensor) -> Tensor:
    if torch.compiler.is_compiling() or not torch.is_grad_enabled():
        return F.conv2d(cat(inputs_BCHW, dim=1), weight, bias, padding=weight.shape[2] // 2)
    device = weight.device.type
    if torch.is_autocast_enabled(device):
        dtype = torch.get_autocast_dtype(device)
        weight, bias = weight.to(dtype), None if bias is None else bias.to(dtype)
        inputs_BCHW = tuple(x.to(dtype) for x in inputs_BCHW)
    result: Tensor = _CatConvolution.apply(weight, bias, *inputs_BCHW)  # type: ignore[no-untyped-call]
    return result


class _CatConvolution(torch.autograd.Function):
    """Saves the inputs, which other operations save as well, instead of a copy, their concatenation."""

    @staticmethod
    def forward(ctx: Any, weight: Tensor, bias: Tensor | None, *inputs: Tensor) -> Tensor:
        ctx.save_for_backward(weight, *inputs)
        ctx.has_bias = bias is not None
        return F.conv2d(cat(inputs, dim=1), weight, bias, padding=weight.shape[2] // 2)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor | None, ...]:
        weight, *inputs = ctx.saved_tensors
        wanted = [any(ctx.needs_input_grad[2:]), ctx.needs_input_grad[0], ctx.needs_input_grad[1]]
        edge = weight.shape[2] // 2
        by_input, by_weight, by_bias = torch.ops.aten.convolution_backward(
            gradient,
            cat(inputs, dim=1),
            weight,
            [weight.shape[0]] if ctx.has_bias else None,
            [1, 1],
            [edge, edge],
            [1, 1],
            False,
            [0, 0],
            1,
            wanted,
        )
        parts = by_input.split([x.shape[1] for x in inputs], dim=1) if wanted[0] else [None] * len(inputs)
        return by_weight, by_bias, *parts
