"""What the textbook's cells have in common: one convolution per input, and memories behind three gates."""

from typing import ClassVar, NamedTuple

import torch
from torch import Tensor, nn

from core.registry import Registry


class Step(NamedTuple):
    """What a layer gives at one time step: its output, its state, the zigzag memory, and what was added to C and M."""

    y_BCHW: Tensor
    state: tuple[Tensor, ...]
    memory_BCHW: Tensor | None = None
    added: tuple[Tensor, ...] = ()


class Cell(nn.Module):
    """One layer: `forward(x, state)`, then the zigzag memory where `takes_memory`, the diagonal where `takes_diagonal`.

    Args:
        channels: of input, output and every state.
        layer: from 0 at the bottom.
        num_layers: of the whole stack.
    """

    states: ClassVar[int] = 2
    takes_memory: ClassVar[bool] = False
    takes_diagonal: ClassVar[bool] = False
    is_decoupled: ClassVar[bool] = False

    def __init__(self, channels: int, layer: int, num_layers: int) -> None:
        super().__init__()
        self.channels, self.layer, self.num_layers = channels, layer, num_layers

    def init_state(self, x_BCHW: Tensor) -> tuple[Tensor, ...]:
        """Zeros."""
        return tuple(torch.zeros_like(x_BCHW) for _ in range(self.states))


def conv(in_channels: int, out_channels: int, kernel: int = 3) -> nn.Conv2d:
    """A convolution that keeps the size."""
    return nn.Conv2d(in_channels, out_channels, kernel, padding=kernel // 2)


def added(i_BCHW: Tensor, g_BCHW: Tensor) -> Tensor:
    """What an input gate lets in of a candidate."""
    return torch.sigmoid(i_BCHW) * torch.tanh(g_BCHW)


CELLS: Registry[type[Cell]] = Registry("textbook cell")
