"""PrecipLSTM: PredRNN with a spatial and a temporal memory, and attention over its input."""

from typing import ClassVar

from torch import Tensor, nn, zeros_like

from models.cells.base import CELLS, MIDDLE, CatConv2d, JointConv2d, LayerPosition, RecurrentCell, State, Step
from models.cells.gates import gated, updated
from models.cells.local_attention import WINDOW, LocalAttention
from models.checks import require_positive


@CELLS.register("preciplstm")
class PrecipLSTMCell(RecurrentCell):
    """PrecipLSTM (Ma et al. 2022, doi:10.1109/TGRS.2022.3198222).

    State: (h_BCHW, c_BCHW, spatial_BCHW, temporal_BCHW, x_BCHW).

    The spatial memory follows the attended input, the temporal one the change of the layer's input since the previous
    time step (skips and resampling included). Option `window`: edge of the attention's window in cells.
    """

    uses_memory: ClassVar[bool] = True
    state_names: ClassVar[tuple[str, ...]] = ("h", "c", "spatial", "temporal", "x")

    def __init__(
        self, channels: int, kernel_size: int = 3, position: LayerPosition = MIDDLE, *, window: int = WINDOW
    ) -> None:
        super().__init__(channels, kernel_size, position)
        require_positive(window=window)
        pair = (channels, channels)
        self.attention = LocalAttention(channels, window)
        self.attended = nn.Conv2d(channels, channels, kernel_size, padding=kernel_size // 2)
        self.gates = JointConv2d(pair, 4 * channels, kernel_size)
        self.memory_gates = JointConv2d(pair, 3 * channels, kernel_size)
        self.spatial_gates = JointConv2d(pair, 3 * channels, kernel_size)
        self.temporal_gates = JointConv2d(pair, 3 * channels, kernel_size)
        self.output_gate = JointConv2d((channels,) * 4, channels, kernel_size)
        self.merge = CatConv2d(4 * channels, channels, 1)

    def forward(self, x_BCHW: Tensor, state: State, memory_BCHW: Tensor | None) -> Step:
        h_BCHW, c_BCHW, spatial_BCHW, temporal_BCHW, last_x_BCHW = state
        m_BCHW = zeros_like(x_BCHW) if memory_BCHW is None else memory_BCHW
        seen_BCHW = x_BCHW + self.attended(self.attention(x_BCHW))
        change_BCHW = x_BCHW - last_x_BCHW
        i, f, g, o = self.gates(seen_BCHW, h_BCHW).chunk(4, dim=1)
        c_BCHW, _ = updated(c_BCHW, i, f, g)
        m_BCHW, _ = updated(m_BCHW, *self.memory_gates(seen_BCHW, m_BCHW).chunk(3, dim=1))
        spatial_BCHW, _ = updated(spatial_BCHW, *self.spatial_gates(seen_BCHW, spatial_BCHW).chunk(3, dim=1))
        temporal_BCHW, _ = updated(temporal_BCHW, *self.temporal_gates(change_BCHW, temporal_BCHW).chunk(3, dim=1))
        o_BCHW = o + self.output_gate(c_BCHW, m_BCHW, spatial_BCHW, temporal_BCHW)
        h_BCHW = gated(o_BCHW, self.merge(c_BCHW, spatial_BCHW, temporal_BCHW, m_BCHW))
        return Step(h_BCHW, (h_BCHW, c_BCHW, spatial_BCHW, temporal_BCHW, x_BCHW), m_BCHW)
