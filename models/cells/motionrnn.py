"""MotionRNN: a MIM cell whose output follows a learned motion."""

from torch import Tensor

from models.cells.base import CELLS, MIDDLE, LayerPosition, State, Step
from models.cells.mim import MIMCell
from models.cells.motion_gru import MotionGRU


@CELLS.register("motionrnn")
class MotionRNNCell(MIMCell):
    """MotionRNN over MIM (Wu et al. 2021, arXiv:2103.02243, section 3.1; MotionGRU after the cell, as the reference).

    State: that of MIM, then flow and trend of the MotionGRU at half resolution. The last layer gives MIM's output as it
    is, so it builds no MotionGRU.
    """

    def __init__(self, channels: int, kernel_size: int = 3, position: LayerPosition = MIDDLE) -> None:
        super().__init__(channels, kernel_size, position)
        self.motion = None if position.is_last else MotionGRU(channels)

    def init_state(self, x_BCHW: Tensor) -> State:
        return super().init_state(x_BCHW) + (() if self.motion is None else self.motion.init_state(x_BCHW))

    @property
    def reach(self) -> int | None:
        return None  # flows lead anywhere

    def forward(
        self, x_BCHW: Tensor, state: State, memory_BCHW: Tensor | None, diagonal_BCHW: Tensor | None = None
    ) -> Step:
        if self.motion is None:
            return super().forward(x_BCHW, state, memory_BCHW, diagonal_BCHW)
        *inner, flow_BCHW, trend_BCHW = state
        new = self.advance(x_BCHW, tuple(inner), memory_BCHW, diagonal_BCHW)
        moved_BCHW, flow_BCHW, trend_BCHW = self.motion(new.h_BCHW, flow_BCHW, trend_BCHW)
        h_BCHW = moved_BCHW + (1 - new.gate_BCHW) * x_BCHW
        return Step(h_BCHW, (h_BCHW, *new.kept, flow_BCHW, trend_BCHW), new.memory_BCHW)
