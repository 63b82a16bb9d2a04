"""PredRNN's spatiotemporal LSTM."""

from typing import ClassVar

from torch import Tensor, cat, nn

from models.cells.base import CELLS, MIDDLE, JointConv2d, Place, RecurrentCell, State, Step


def updated(memory_BCHW: Tensor, i_BCHW: Tensor, f_BCHW: Tensor, g_BCHW: Tensor) -> tuple[Tensor, Tensor]:
    """A memory after its input, forget and candidate gates (before their activation), and what was added to it."""
    increment_BCHW = i_BCHW.sigmoid() * g_BCHW.tanh()
    return f_BCHW.sigmoid() * memory_BCHW + increment_BCHW, increment_BCHW


@CELLS.register("predrnn")
class PredRNNCell(RecurrentCell):
    """ST-LSTM with the zigzag memory M (Wang et al. 2017, PredRNN, eq. 5, without norms); state: (h_BCHW, c_BCHW)."""

    uses_memory: ClassVar[bool] = True
    gives_increments: ClassVar[bool] = False

    def __init__(self, channels: int, kernel_size: int = 3, place: Place = MIDDLE) -> None:
        super().__init__(channels, kernel_size, place)
        pair = (channels, channels)
        self.gates = JointConv2d(pair, 4 * channels, kernel_size)
        self.memory_gates = JointConv2d(pair, 3 * channels, kernel_size)
        self.output_gate = JointConv2d(pair, channels, kernel_size)
        self.merge = nn.Conv2d(2 * channels, channels, 1)

    def forward(self, x_BCHW: Tensor, state: State, memory_BCHW: Tensor | None) -> Step:
        h_BCHW, c_BCHW = state
        m_BCHW = x_BCHW.new_zeros(x_BCHW.shape) if memory_BCHW is None else memory_BCHW
        i, f, g, o = self.gates(x_BCHW, h_BCHW).chunk(4, dim=1)
        c_BCHW, added_c_BCHW = updated(c_BCHW, i, f, g)
        m_BCHW, added_m_BCHW = updated(m_BCHW, *self.memory_gates(x_BCHW, m_BCHW).chunk(3, dim=1))
        o_BCHW = (o + self.output_gate(c_BCHW, m_BCHW)).sigmoid()
        h_BCHW = o_BCHW * self.merge(cat([c_BCHW, m_BCHW], dim=1)).tanh()
        increments = (added_c_BCHW, added_m_BCHW) if self.gives_increments else ()
        return Step(h_BCHW, (h_BCHW, c_BCHW), m_BCHW, increments)
