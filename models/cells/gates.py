"""Operations that the gates of all cells share; they save little for the gradient and keep bfloat16 fast.

Under `torch.compile` the plain formulas are used instead: the compiler fuses them and decides itself what to save.
"""

from collections.abc import Callable
from typing import Any, Final

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable

ROUNDS: Final = 5
"""Scalings of `in_context`: three of the input, two of the hidden state (MoDeRNN and CMS-LSTM alike)."""


def gated(gate_BCHW: Tensor, x_BCHW: Tensor) -> Tensor:
    """Return sigmoid(gate) tanh(x), the form of both the input and the output side of an LSTM."""
    if torch.compiler.is_compiling():
        return gate_BCHW.sigmoid() * x_BCHW.tanh()
    if not torch.is_grad_enabled():
        return gate_BCHW.sigmoid().mul_(_tanh(x_BCHW))
    result: Tensor = _Gated.apply(gate_BCHW, x_BCHW)  # type: ignore[no-untyped-call]
    return result


def updated(memory_BCHW: Tensor, i_BCHW: Tensor, f_BCHW: Tensor, g_BCHW: Tensor) -> tuple[Tensor, Tensor]:
    """Return a memory after its input, forget and candidate gates (before their activation), and the increment."""
    increment_BCHW = gated(i_BCHW, g_BCHW)
    return torch.addcmul(increment_BCHW, f_BCHW.sigmoid(), memory_BCHW), increment_BCHW


def scaled(gate_BCHW: Tensor, x_BCHW: Tensor) -> Tensor:
    """Return 2 sigmoid(gate) x, which leaves x unchanged where the gate is 0."""
    if torch.compiler.is_compiling() or not torch.is_grad_enabled():
        return (2 * x_BCHW) * gate_BCHW.sigmoid()
    result: Tensor = _Scaled.apply(gate_BCHW, x_BCHW)  # type: ignore[no-untyped-call]
    return result


def in_context(
    x_BCHW: Tensor,
    h_BCHW: Tensor,
    from_h: Callable[[Tensor], Tensor],
    from_x: Callable[[Tensor], Tensor],
    rounds: int = ROUNDS,
) -> tuple[Tensor, Tensor]:
    """Scale x by 2 sigmoid(from_h(h)) and h by 2 sigmoid(from_x(x)), alternately, x first, `rounds` times in all."""
    for turn in range(rounds):
        if turn % 2 == 0:
            x_BCHW = scaled(from_h(h_BCHW), x_BCHW)
        else:
            h_BCHW = scaled(from_x(x_BCHW), h_BCHW)
    return x_BCHW, h_BCHW


def tanh(x_BCHW: Tensor) -> Tensor:
    """Return the hyperbolic tangent; bfloat16 on a CPU is computed in float32, which is twice as fast and as exact."""
    if torch.compiler.is_compiling():
        return x_BCHW.tanh()
    if not torch.is_grad_enabled():
        return _tanh(x_BCHW)
    result: Tensor = _Tanh.apply(x_BCHW)  # type: ignore[no-untyped-call]
    return result


def _tanh(x_BCHW: Tensor) -> Tensor:
    if x_BCHW.dtype == torch.bfloat16 and x_BCHW.device.type == "cpu":
        return x_BCHW.float().tanh_().to(torch.bfloat16)
    return x_BCHW.tanh()


class _Tanh(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x: Tensor) -> Tensor:
        result = _tanh(x)
        ctx.save_for_backward(result)
        return result

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, gradient: Tensor) -> Tensor:
        (result,) = ctx.saved_tensors
        by_input: Tensor = torch.ops.aten.tanh_backward(gradient, result)
        return by_input


class _Gated(torch.autograd.Function):
    """Saves sigmoid(gate), and x itself if it has a storage of its own, which its next user saves anyway.

    If x is a slice of a larger tensor, saving it would keep the whole tensor alive: then tanh(x) is saved.
    """

    @staticmethod
    def forward(ctx: Any, gate: Tensor, x: Tensor) -> Tensor:
        s, t = gate.sigmoid(), _tanh(x)
        ctx.is_own = x.untyped_storage().nbytes() == x.numel() * x.element_size()
        ctx.save_for_backward(s, x if ctx.is_own else t)
        return s * t

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor, Tensor]:
        s, kept = ctx.saved_tensors
        t = _tanh(kept) if ctx.is_own else kept
        by_gate = torch.ops.aten.sigmoid_backward(gradient * t, s)
        return by_gate, torch.ops.aten.tanh_backward(gradient * s, t)


class _Scaled(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, gate: Tensor, x: Tensor) -> Tensor:
        s = gate.sigmoid()
        ctx.save_for_backward(s, x)
        return (2 * x) * s

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor, Tensor]:
        s, x = ctx.saved_tensors
        doubled = 2 * gradient
        return torch.ops.aten.sigmoid_backward(doubled * x, s), doubled * s
