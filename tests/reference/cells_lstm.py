"""ConvLSTM, PredRNN, PredRNN-V2 and PredRNN++."""

from typing import ClassVar

import torch
from torch import Tensor, nn

from tests.reference.cell import CELLS, Cell, Step, added, conv


@CELLS.register("convlstm")
class ConvLSTM(Cell):
    """Shi et al. 2015, arXiv:1506.04214; state: h, c."""

    def __init__(self, channels: int, layer: int, num_layers: int) -> None:
        super().__init__(channels, layer, num_layers)
        self.gates_x = conv(channels, 4 * channels)
        self.gates_h = conv(channels, 4 * channels)

    def forward(self, x_BCHW: Tensor, state: tuple[Tensor, ...]) -> Step:
        """Advance by one time step."""
        h_BCHW, c_BCHW = state
        i, f, g, o = (self.gates_x(x_BCHW) + self.gates_h(h_BCHW)).chunk(4, dim=1)
        c_BCHW = torch.sigmoid(f) * c_BCHW + added(i, g)
        h_BCHW = torch.sigmoid(o) * torch.tanh(c_BCHW)
        return Step(h_BCHW, (h_BCHW, c_BCHW))


@CELLS.register("predrnn")
class PredRNN(Cell):
    """Wang et al. 2017, ST-LSTM; state: h, c."""

    takes_memory: ClassVar[bool] = True

    def __init__(self, channels: int, layer: int, num_layers: int) -> None:
        super().__init__(channels, layer, num_layers)
        self.gates_x = conv(channels, 4 * channels)
        self.gates_h = conv(channels, 4 * channels)
        self.memory_gates_x = conv(channels, 3 * channels)
        self.memory_gates_m = conv(channels, 3 * channels)
        self.output_gate_c = conv(channels, channels)
        self.output_gate_m = conv(channels, channels)
        self.merge = conv(2 * channels, channels, 1)

    def forward(self, x_BCHW: Tensor, state: tuple[Tensor, ...], m_BCHW: Tensor) -> Step:
        """Advance by one time step."""
        h_BCHW, c_BCHW = state
        i, f, g, o = (self.gates_x(x_BCHW) + self.gates_h(h_BCHW)).chunk(4, dim=1)
        added_c = added(i, g)
        c_BCHW = torch.sigmoid(f) * c_BCHW + added_c
        i_m, f_m, g_m = (self.memory_gates_x(x_BCHW) + self.memory_gates_m(m_BCHW)).chunk(3, dim=1)
        added_m = added(i_m, g_m)
        m_BCHW = torch.sigmoid(f_m) * m_BCHW + added_m
        o = torch.sigmoid(o + self.output_gate_c(c_BCHW) + self.output_gate_m(m_BCHW))
        h_BCHW = o * torch.tanh(self.merge(torch.cat([c_BCHW, m_BCHW], dim=1)))
        return Step(h_BCHW, (h_BCHW, c_BCHW), m_BCHW, (added_c, added_m))


@CELLS.register("predrnn-v2")
class PredRNNv2(PredRNN):
    """Wang et al. 2021, arXiv:2103.09504: PredRNN, and a loss on the increments of C and M (see the model)."""

    is_decoupled: ClassVar[bool] = True


class Highway(nn.Module):
    """Gradient highway unit of PredRNN++."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.gates_x = conv(channels, 2 * channels)
        self.gates_z = conv(channels, 2 * channels)

    def forward(self, x_BCHW: Tensor, z_BCHW: Tensor) -> Tensor:
        """Return the new Z."""
        p, q = (self.gates_x(x_BCHW) + self.gates_z(z_BCHW)).chunk(2, dim=1)
        switch = torch.sigmoid(q)
        new_BCHW: Tensor = switch * torch.tanh(p) + (1 - switch) * z_BCHW
        return new_BCHW


@CELLS.register("predrnn++")
class PredRNNPlusPlus(Cell):
    """Wang et al. 2018, arXiv:1804.06300; state: h, c, and z in the second layer, the only one with the highway."""

    takes_memory: ClassVar[bool] = True

    def __init__(self, channels: int, layer: int, num_layers: int) -> None:
        super().__init__(channels, layer, num_layers)
        self.gates = conv(3 * channels, 3 * channels)
        self.memory_gates = conv(3 * channels, 3 * channels)
        self.memory_map = conv(channels, channels, 1)
        self.output_gate = conv(3 * channels, channels)
        self.merge = conv(2 * channels, channels, 1)
        self.highway = Highway(channels) if layer == 1 else None

    def init_state(self, x_BCHW: Tensor) -> tuple[Tensor, ...]:
        """Return zeros for every state."""
        zeros = super().init_state(x_BCHW)
        return zeros if self.highway is None else (*zeros, torch.zeros_like(x_BCHW))

    def forward(self, x_BCHW: Tensor, state: tuple[Tensor, ...], m_BCHW: Tensor) -> Step:
        """Advance by one time step."""
        h_BCHW, c_BCHW, *z = state
        if self.highway is not None:
            x_BCHW = self.highway(x_BCHW, z[0])
            z = [x_BCHW]
        i, f, g = self.gates(torch.cat([x_BCHW, h_BCHW, c_BCHW], dim=1)).chunk(3, dim=1)
        c_BCHW = torch.sigmoid(f) * c_BCHW + added(i, g)
        i_m, f_m, g_m = self.memory_gates(torch.cat([x_BCHW, c_BCHW, m_BCHW], dim=1)).chunk(3, dim=1)
        m_BCHW = torch.sigmoid(f_m) * torch.tanh(self.memory_map(m_BCHW)) + added(i_m, g_m)
        o = torch.tanh(self.output_gate(torch.cat([x_BCHW, c_BCHW, m_BCHW], dim=1)))
        h_BCHW = o * torch.tanh(self.merge(torch.cat([c_BCHW, m_BCHW], dim=1)))
        return Step(h_BCHW, (h_BCHW, c_BCHW, *z), m_BCHW)
