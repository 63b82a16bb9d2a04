"""PrecipLSTM, with a spatial and a temporal memory."""

from typing import ClassVar

import torch
from torch import Tensor

from tests.reference.cell import CELLS, Cell, Step, added, conv
from tests.reference.local_attention import LocalAttention


@CELLS.register("preciplstm")
class PrecipLSTM(Cell):
    """Ma et al. 2022, doi:10.1109/TGRS.2022.3198222; state: h, c, spatial, temporal memory, last input."""

    states: ClassVar[int] = 5
    takes_memory: ClassVar[bool] = True

    def __init__(self, channels: int, layer: int, num_layers: int) -> None:
        super().__init__(channels, layer, num_layers)
        self.attention = LocalAttention(channels)
        self.attended = conv(channels, channels)
        self.gates_x = conv(channels, 4 * channels)
        self.gates_h = conv(channels, 4 * channels)
        self.memory_gates_x = conv(channels, 3 * channels)
        self.memory_gates_m = conv(channels, 3 * channels)
        self.spatial_gates_x = conv(channels, 3 * channels)
        self.spatial_gates_s = conv(channels, 3 * channels)
        self.temporal_gates_d = conv(channels, 3 * channels)
        self.temporal_gates_t = conv(channels, 3 * channels)
        self.output_gate_c = conv(channels, channels)
        self.output_gate_m = conv(channels, channels)
        self.output_gate_s = conv(channels, channels)
        self.output_gate_t = conv(channels, channels)
        self.merge = conv(4 * channels, channels, 1)

    def forward(self, x_BCHW: Tensor, state: tuple[Tensor, ...], m_BCHW: Tensor) -> Step:
        """Advance by one time step."""
        h_BCHW, c_BCHW, s_BCHW, t_BCHW, last_x_BCHW = state
        seen_BCHW = x_BCHW + self.attended(self.attention(x_BCHW))
        d_BCHW = x_BCHW - last_x_BCHW
        i, f, g, o = (self.gates_x(seen_BCHW) + self.gates_h(h_BCHW)).chunk(4, dim=1)
        c_BCHW = torch.sigmoid(f) * c_BCHW + added(i, g)
        i, f, g = (self.memory_gates_x(seen_BCHW) + self.memory_gates_m(m_BCHW)).chunk(3, dim=1)
        m_BCHW = torch.sigmoid(f) * m_BCHW + added(i, g)
        i, f, g = (self.spatial_gates_x(seen_BCHW) + self.spatial_gates_s(s_BCHW)).chunk(3, dim=1)
        s_BCHW = torch.sigmoid(f) * s_BCHW + added(i, g)
        i, f, g = (self.temporal_gates_d(d_BCHW) + self.temporal_gates_t(t_BCHW)).chunk(3, dim=1)
        t_BCHW = torch.sigmoid(f) * t_BCHW + added(i, g)
        o = o + self.output_gate_c(c_BCHW) + self.output_gate_s(s_BCHW)
        o = torch.sigmoid(o + self.output_gate_t(t_BCHW) + self.output_gate_m(m_BCHW))
        h_BCHW = o * torch.tanh(self.merge(torch.cat([c_BCHW, s_BCHW, t_BCHW, m_BCHW], dim=1)))
        return Step(h_BCHW, (h_BCHW, c_BCHW, s_BCHW, t_BCHW, x_BCHW), m_BCHW)
