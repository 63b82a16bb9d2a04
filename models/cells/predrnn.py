"""PredRNN: the spatiotemporal LSTM with the zigzag memory."""

from typing import ClassVar

from torch import Tensor, zeros_like

from models.cells.base import CELLS, MIDDLE, CatConv2d, JointConv2d, LayerPosition, RecurrentCell, State, Step
from models.cells.gates import gated, updated


@CELLS.register("predrnn")
class PredRNNCell(RecurrentCell):
    """ST-LSTM with the zigzag memory M (Wang et al. 2017, PredRNN, eq. 5, without norms); state: (h_BCHW, c_BCHW)."""

    uses_memory: ClassVar[bool] = True
    gives_increments: ClassVar[bool] = False

    def __init__(self, channels: int, kernel_size: int = 3, position: LayerPosition = MIDDLE) -> None:
        super().__init__(channels, kernel_size, position)
        pair = (channels, channels)
        self.gates = JointConv2d(pair, 4 * channels, kernel_size)
        self.memory_gates = JointConv2d(pair, 3 * channels, kernel_size)
        self.output_gate = JointConv2d(pair, channels, kernel_size)
        self.merge = CatConv2d(2 * channels, channels, 1)

    @property
    def reach(self) -> int | None:
        return 2 * (self.kernel_size // 2)  # the output gate reads the new memories

    def forward(self, x_BCHW: Tensor, state: State, memory_BCHW: Tensor | None) -> Step:
        h_BCHW, c_BCHW = state
        m_BCHW = zeros_like(x_BCHW) if memory_BCHW is None else memory_BCHW
        i, f, g, o = self.gates(x_BCHW, h_BCHW).chunk(4, dim=1)
        c_BCHW, added_c_BCHW = updated(c_BCHW, i, f, g)
        m_BCHW, added_m_BCHW = updated(m_BCHW, *self.memory_gates(x_BCHW, m_BCHW).chunk(3, dim=1))
        h_BCHW = gated(o + self.output_gate(c_BCHW, m_BCHW), self.merge(c_BCHW, m_BCHW))
        increments = (added_c_BCHW, added_m_BCHW) if self.gives_increments else ()
        return Step(h_BCHW, (h_BCHW, c_BCHW), m_BCHW, increments)
