"""A cell with one gate and one candidate."""

from typing import ClassVar

from torch import Tensor

from models.cells.base import CELLS, MIDDLE, JointConv2d, LayerPosition, RecurrentCell, State, Step


@CELLS.register("NAME")
class AddedCell(RecurrentCell):
    """A minimal gated unit; state: (h_BCHW,)."""

    state_names: ClassVar[tuple[str, ...]] = ("h",)

    def __init__(self, channels: int, kernel_size: int = 3, position: LayerPosition = MIDDLE) -> None:
        super().__init__(channels, kernel_size, position)
        self.gates = JointConv2d((channels, channels), 2 * channels, kernel_size)

    def forward(self, x_BCHW: Tensor, state: State, memory_BCHW: Tensor | None) -> Step:
        (h_BCHW,) = state
        z, g = self.gates(x_BCHW, h_BCHW).chunk(2, dim=1)
        h_BCHW = h_BCHW + z.sigmoid() * (g.tanh() - h_BCHW)
        return Step(h_BCHW, (h_BCHW,), memory_BCHW)
