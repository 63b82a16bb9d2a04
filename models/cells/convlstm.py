"""Convolutional LSTM, the simplest of the paper's cells."""

from torch import Tensor

from models.cells.base import CELLS, MIDDLE, JointConv2d, LayerPosition, RecurrentCell, State, Step
from models.cells.gates import gated, updated


@CELLS.register("convlstm")
class ConvLSTMCell(RecurrentCell):
    """Convolutional LSTM (Shi et al. 2015, arXiv:1506.04214, eq. 3, without peepholes); state: (h_BCHW, c_BCHW)."""

    def __init__(self, channels: int, kernel_size: int = 3, position: LayerPosition = MIDDLE) -> None:
        super().__init__(channels, kernel_size, position)
        self.gates = JointConv2d((channels, channels), 4 * channels, kernel_size)

    @property
    def reach(self) -> int | None:
        return self.kernel_size // 2

    def forward(self, x_BCHW: Tensor, state: State, memory_BCHW: Tensor | None) -> Step:
        h_BCHW, c_BCHW = state
        i, f, g, o = self.gates(x_BCHW, h_BCHW).chunk(4, dim=1)
        c_BCHW, _ = updated(c_BCHW, i, f, g)
        h_BCHW = gated(o, c_BCHW)
        return Step(h_BCHW, (h_BCHW, c_BCHW), memory_BCHW)
