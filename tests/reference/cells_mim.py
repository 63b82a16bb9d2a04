"""MIM, and MotionRNN on top of it."""

from typing import ClassVar

import torch
from torch import Tensor, nn

from tests.reference.cell import CELLS, Cell, Step, added, conv
from tests.reference.flow import MotionGRU


class Nested(nn.Module):
    """MIM-N and MIM-S: the replacement of the forget gate times the cell state."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.change_gates_d = conv(channels, 3 * channels)
        self.change_gates_n = conv(channels, 3 * channels)
        self.change_output_d = conv(channels, channels)
        self.change_output_n = conv(channels, channels)
        self.lasting_gates_q = conv(channels, 4 * channels)
        self.lasting_gates_c = conv(channels, 4 * channels)
        self.lasting_output = conv(channels, channels)

    def forward(self, d_BCHW: Tensor, c_BCHW: Tensor, n_BCHW: Tensor, s_BCHW: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Return (t, n, s) from the change d and the last c, n, s."""
        i, f, g = (self.change_gates_d(d_BCHW) + self.change_gates_n(n_BCHW)).chunk(3, dim=1)
        n_BCHW = torch.sigmoid(f) * n_BCHW + added(i, g)
        o = torch.sigmoid(self.change_output_d(d_BCHW) + self.change_output_n(n_BCHW))
        q_BCHW = o * torch.tanh(n_BCHW)
        i, f, g, o = (self.lasting_gates_q(q_BCHW) + self.lasting_gates_c(c_BCHW)).chunk(4, dim=1)
        s_BCHW = torch.sigmoid(f) * s_BCHW + added(i, g)
        o = torch.sigmoid(o + self.lasting_output(s_BCHW))
        return o * torch.tanh(s_BCHW), n_BCHW, s_BCHW


@CELLS.register("mim")
class MIM(Cell):
    """Wang et al. 2019, arXiv:1811.07490; state: h, c, n, s, and h, c in the first layer, whose N and S are unused."""

    takes_memory: ClassVar[bool] = True
    takes_diagonal: ClassVar[bool] = True

    def __init__(self, channels: int, layer: int, num_layers: int) -> None:
        super().__init__(channels, layer, num_layers)
        self.gates_x = conv(channels, 4 * channels)
        self.gates_h = conv(channels, 4 * channels)
        self.memory_gates_x = conv(channels, 3 * channels)
        self.memory_gates_m = conv(channels, 3 * channels)
        self.output_gate_c = conv(channels, channels)
        self.output_gate_m = conv(channels, channels)
        self.merge = conv(2 * channels, channels, 1)
        self.nested = Nested(channels) if layer > 0 else None

    def init_state(self, x_BCHW: Tensor) -> tuple[Tensor, ...]:
        """Return zeros for every state."""
        return tuple(torch.zeros_like(x_BCHW) for _ in range(2 if self.nested is None else 4))

    def forward(self, x_BCHW: Tensor, state: tuple[Tensor, ...], m_BCHW: Tensor, diagonal_BCHW: Tensor) -> Step:
        """Advance by one time step."""
        return self.gated(x_BCHW, state, m_BCHW, diagonal_BCHW)[0]

    def gated(
        self, x_BCHW: Tensor, state: tuple[Tensor, ...], m_BCHW: Tensor, diagonal_BCHW: Tensor
    ) -> tuple[Step, Tensor]:
        """Advance by one time step; return also the output gate, which MotionRNN needs."""
        h_BCHW, c_BCHW, *memories = state
        i, f, g, o = (self.gates_x(x_BCHW) + self.gates_h(h_BCHW)).chunk(4, dim=1)
        if self.nested is None:
            lasting = torch.sigmoid(f) * c_BCHW
        else:
            lasting, *memories = self.nested(x_BCHW - diagonal_BCHW, c_BCHW, *memories)
        c_BCHW = lasting + added(i, g)
        i_m, f_m, g_m = (self.memory_gates_x(x_BCHW) + self.memory_gates_m(m_BCHW)).chunk(3, dim=1)
        m_BCHW = torch.sigmoid(f_m) * m_BCHW + added(i_m, g_m)
        o = torch.sigmoid(o + self.output_gate_c(c_BCHW) + self.output_gate_m(m_BCHW))
        h_BCHW = o * torch.tanh(self.merge(torch.cat([c_BCHW, m_BCHW], dim=1)))
        return Step(h_BCHW, (h_BCHW, c_BCHW, *memories), m_BCHW), o


@CELLS.register("motionrnn")
class MotionRNN(MIM):
    """Wu et al. 2021, arXiv:2103.02243, over MIM; MIM's state, then flow and trend; the last layer is a MIM cell."""

    def __init__(self, channels: int, layer: int, num_layers: int) -> None:
        super().__init__(channels, layer, num_layers)
        self.motion = MotionGRU(channels) if layer < num_layers - 1 else None

    def init_state(self, x_BCHW: Tensor) -> tuple[Tensor, ...]:
        """Return zeros for every state."""
        zeros = super().init_state(x_BCHW)
        return zeros if self.motion is None else (*zeros, *self.motion.init_state(x_BCHW))

    def forward(self, x_BCHW: Tensor, state: tuple[Tensor, ...], m_BCHW: Tensor, diagonal_BCHW: Tensor) -> Step:
        """Advance by one time step."""
        if self.motion is None:
            return super().forward(x_BCHW, state, m_BCHW, diagonal_BCHW)
        *inner, flow_BCHW, trend_BCHW = state
        step, o = self.gated(x_BCHW, tuple(inner), m_BCHW, diagonal_BCHW)
        moved_BCHW, flow_BCHW, trend_BCHW = self.motion(step.y_BCHW, flow_BCHW, trend_BCHW)
        h_BCHW = moved_BCHW + (1 - o) * x_BCHW
        return Step(h_BCHW, (h_BCHW, *step.state[1:], flow_BCHW, trend_BCHW), step.memory_BCHW)
