"""Memory In Memory: two memories, of changing and of lasting parts, replace the forget gate."""

from typing import ClassVar, NamedTuple

from torch import Tensor, nn, zeros_like

from models.cells.base import CELLS, MIDDLE, JointConv2d, LayerPosition, State, Step
from models.cells.gates import gated, tanh, updated
from models.cells.predrnn import PredRNNCell


class Advance(NamedTuple):
    """Results of a MIM layer for one time step: output, its gate, the states to keep, the zigzag memory."""

    h_BCHW: Tensor
    gate_BCHW: Tensor
    kept: State
    memory_BCHW: Tensor


class NestedMemory(nn.Module):
    """MIM-N and MIM-S (Wang et al. 2019): the part of a cell state that is kept, from the change of the layer below."""

    def __init__(self, channels: int, kernel_size: int) -> None:
        super().__init__()
        pair = (channels, channels)
        self.change_gates = JointConv2d(pair, 3 * channels, kernel_size)
        self.change_output = JointConv2d(pair, channels, kernel_size)
        self.lasting_gates = JointConv2d(pair, 4 * channels, kernel_size)
        self.lasting_output = nn.Conv2d(channels, channels, kernel_size, padding=kernel_size // 2)

    def forward(self, change_BCHW: Tensor, c_BCHW: Tensor, n_BCHW: Tensor, s_BCHW: Tensor) -> tuple[Tensor, ...]:
        """Return (t_BCHW, n_BCHW, s_BCHW), where t replaces the product of forget gate and cell state."""
        n_BCHW, _ = updated(n_BCHW, *self.change_gates(change_BCHW, n_BCHW).chunk(3, dim=1))
        q_BCHW = gated(self.change_output(change_BCHW, n_BCHW), n_BCHW)
        i, f, g, o = self.lasting_gates(q_BCHW, c_BCHW).chunk(4, dim=1)
        s_BCHW, _ = updated(s_BCHW, i, f, g)
        return gated(o + self.lasting_output(s_BCHW), s_BCHW), n_BCHW, s_BCHW


@CELLS.register("mim")
class MIMCell(PredRNNCell):
    """Memory In Memory (Wang et al. 2019, arXiv:1811.07490, without norms): PredRNN's cell with another way to forget.

    State: (h, c, n, s), and (h, c) in the first layer, which has no layer below whose change it could follow: it keeps
    the plain forget gate and has no nested memory. (Above it, a quarter of `gates` is the unused forget gate.)
    """

    uses_diagonal: ClassVar[bool] = True
    state_names: ClassVar[tuple[str, ...]] = ("h", "c", "n", "s")

    def __init__(self, channels: int, kernel_size: int = 3, position: LayerPosition = MIDDLE) -> None:
        super().__init__(channels, kernel_size, position)
        self.nested = None if position.is_first else NestedMemory(channels, kernel_size)

    def init_state(self, x_BCHW: Tensor) -> State:
        return super().init_state(x_BCHW)[: 2 if self.nested is None else 4]

    @property
    def reach(self) -> int | None:
        return 5 * (self.kernel_size // 2)  # two memories with their outputs, then the output gate

    def forward(
        self, x_BCHW: Tensor, state: State, memory_BCHW: Tensor | None, diagonal_BCHW: Tensor | None = None
    ) -> Step:
        new = self.advance(x_BCHW, state, memory_BCHW, diagonal_BCHW)
        return Step(new.h_BCHW, (new.h_BCHW, *new.kept), new.memory_BCHW)

    def advance(
        self, x_BCHW: Tensor, state: State, memory_BCHW: Tensor | None, diagonal_BCHW: Tensor | None
    ) -> Advance:
        """Advance by one time step; returns also the output gate, which MotionRNN's highway uses."""
        h_BCHW, c_BCHW, *nested = state
        m_BCHW = zeros_like(x_BCHW) if memory_BCHW is None else memory_BCHW
        i, f, g, o = self.gates(x_BCHW, h_BCHW).chunk(4, dim=1)
        if self.nested is None:
            lasting_BCHW = f.sigmoid() * c_BCHW
        else:
            change_BCHW = x_BCHW if diagonal_BCHW is None else x_BCHW - diagonal_BCHW
            lasting_BCHW, *nested = self.nested(change_BCHW, c_BCHW, *nested)
        c_BCHW = lasting_BCHW + gated(i, g)
        m_BCHW, _ = updated(m_BCHW, *self.memory_gates(x_BCHW, m_BCHW).chunk(3, dim=1))
        gate_BCHW = (o + self.output_gate(c_BCHW, m_BCHW)).sigmoid()
        h_BCHW = gate_BCHW * tanh(self.merge(c_BCHW, m_BCHW))
        return Advance(h_BCHW, gate_BCHW, (c_BCHW, *nested), m_BCHW)
