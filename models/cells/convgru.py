"""Convolutional GRU: two gates and one state, the smallest of the cells."""

from typing import ClassVar

import torch
from torch import Tensor

from models.cells.base import CELLS, MIDDLE, CatConv2d, JointConv2d, LayerPosition, RecurrentCell, State, Step


@CELLS.register("convgru")
class ConvGRUCell(RecurrentCell):
    """Convolutional gated recurrent unit (Ballas et al. 2015, arXiv:1511.06432, eqs. 4 to 7); state: (h_BCHW,)."""

    state_names: ClassVar[tuple[str, ...]] = ("h",)

    def __init__(self, channels: int, kernel_size: int = 3, position: LayerPosition = MIDDLE) -> None:
        super().__init__(channels, kernel_size, position)
        self.gates = JointConv2d((channels, channels), 2 * channels, kernel_size)
        self.candidate = CatConv2d(2 * channels, channels, kernel_size)

    @property
    def reach(self) -> int | None:
        return 2 * (self.kernel_size // 2)

    def forward(self, x_BCHW: Tensor, state: State, memory_BCHW: Tensor | None) -> Step:
        (h_BCHW,) = state
        z, r = self.gates(x_BCHW, h_BCHW).sigmoid().chunk(2, dim=1)
        new_BCHW = self.candidate(x_BCHW, r * h_BCHW).tanh()
        h_BCHW = torch.lerp(h_BCHW, new_BCHW, z)
        return Step(h_BCHW, (h_BCHW,), memory_BCHW)
