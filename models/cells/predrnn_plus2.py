"""PredRNN++: two memories in cascade, and one gradient highway."""

from typing import ClassVar

from torch import Tensor, lerp, nn, zeros_like

from models.cells.base import CELLS, MIDDLE, CatConv2d, JointConv2d, LayerPosition, RecurrentCell, State, Step
from models.cells.gates import tanh, updated


class GradientHighway(nn.Module):
    """Gradient highway unit (Wang et al. 2018, arXiv:1804.06300): a short path for the gradient through time."""

    def __init__(self, channels: int, kernel_size: int) -> None:
        super().__init__()
        self.gates = JointConv2d((channels, channels), 2 * channels, kernel_size)

    def forward(self, x_BCHW: Tensor, z_BCHW: Tensor) -> Tensor:
        """Return the new Z from the layer's input and the previous Z."""
        p_BCHW, q_BCHW = self.gates(x_BCHW, z_BCHW).chunk(2, dim=1)
        return lerp(z_BCHW, tanh(p_BCHW), q_BCHW.sigmoid())


@CELLS.register("predrnn++")
class CausalLSTMCell(RecurrentCell):
    """Causal LSTM (Wang et al. 2018, arXiv:1804.06300, without norms); state: (h_BCHW, c_BCHW[, z_BCHW]).

    Only the second layer has the highway, with its state Z; its causal LSTM gets Z instead of the layer's input.
    """

    uses_memory: ClassVar[bool] = True
    state_names: ClassVar[tuple[str, ...]] = ("h", "c", "z")

    def __init__(self, channels: int, kernel_size: int = 3, position: LayerPosition = MIDDLE) -> None:
        super().__init__(channels, kernel_size, position)
        self.gates = CatConv2d(3 * channels, 3 * channels, kernel_size)
        self.memory_gates = CatConv2d(3 * channels, 3 * channels, kernel_size)
        self.memory_map = nn.Conv2d(channels, channels, 1)
        self.output_gate = CatConv2d(3 * channels, channels, kernel_size)
        self.merge = CatConv2d(2 * channels, channels, 1)
        self.highway = GradientHighway(channels, kernel_size) if position.layer == 1 else None

    def init_state(self, x_BCHW: Tensor) -> State:
        h_BCHW, c_BCHW, z_BCHW = super().init_state(x_BCHW)
        return (h_BCHW, c_BCHW) if self.highway is None else (h_BCHW, c_BCHW, z_BCHW)

    @property
    def reach(self) -> int | None:
        return 4 * (self.kernel_size // 2)  # highway, cell, memory and output gate, one after the other

    def forward(self, x_BCHW: Tensor, state: State, memory_BCHW: Tensor | None) -> Step:
        h_BCHW, c_BCHW, *highway_state = state
        m_BCHW = zeros_like(x_BCHW) if memory_BCHW is None else memory_BCHW
        if self.highway is not None:
            x_BCHW = self.highway(x_BCHW, highway_state[0])
            highway_state = [x_BCHW]
        i, f, g = self.gates(x_BCHW, h_BCHW, c_BCHW).chunk(3, dim=1)
        c_BCHW, _ = updated(c_BCHW, i, f, g)
        i_m, f_m, g_m = self.memory_gates(x_BCHW, c_BCHW, m_BCHW).chunk(3, dim=1)
        m_BCHW, _ = updated(tanh(self.memory_map(m_BCHW)), i_m, f_m, g_m)
        h_BCHW = tanh(self.output_gate(x_BCHW, c_BCHW, m_BCHW)) * tanh(self.merge(c_BCHW, m_BCHW))
        return Step(h_BCHW, (h_BCHW, c_BCHW, *highway_state), m_BCHW)
