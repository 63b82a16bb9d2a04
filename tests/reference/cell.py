"""Common parts of the textbook's cells: one convolution per input, and memories behind three gates."""

from typing import ClassVar, NamedTuple

import torch
from torch import Tensor, nn

from core.registry import Registry


class Step(NamedTuple):
    """Result of a layer at one time step: output, state, the zigzag memory, and the increments of C and M."""

    y_BCHW: Tensor
    state: tuple[Tensor, ...]
    memory_BCHW: Tensor | None = None
    added: tuple[Tensor, ...] = ()


class Cell(nn.Module):
    """One layer: `forward(x, state)`, then the zigzag memory with `takes_memory`, the diagonal with `takes_diagonal`.

    Args:
        channels: of input, output and every state.
        layer: from 0, the lowest.
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
        """Return zeros for every state."""
        return tuple(torch.zeros_like(x_BCHW) for _ in range(self.states))


def conv(in_channels: int, out_channels: int, kernel: int = 3) -> nn.Conv2d:
    """Return a convolution that keeps the size."""
    return nn.Conv2d(in_channels, out_channels, kernel, padding=kernel // 2)


def added(i_BCHW: Tensor, g_BCHW: Tensor) -> Tensor:
    """Return the part of a candidate that passes an input gate."""
    return torch.sigmoid(i_BCHW) * torch.tanh(g_BCHW)


CELLS: Registry[type[Cell]] = Registry("textbook cell")
