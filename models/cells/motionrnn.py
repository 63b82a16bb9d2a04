"""MotionRNN: a MIM cell whose output follows a learned motion."""

from typing import Final

import torch.nn.functional as F
from torch import Tensor, cat, nn, unflatten

from models.cells.base import CELLS, MIDDLE, LayerPosition, State, Step
from models.cells.mim import MIMCell
from models.cells.warp import WARPS, warp
from models.checks import require_choice

FLOWS: Final = 9
TREND_STEP: Final = 0.5


class MotionGRU(nn.Module):
    """MotionGRU (Wu et al. 2021, MotionRNN, arXiv:2103.02243, section 3.2 and eq. 4, in the form of the MS-RNN paper).

    It works at half of the layer's resolution; an odd side is padded with zeros on the right or below, and the result
    is cut. When the samples of all flows are merged, each stays with its channel and its pixel, unless `layout` is
    `reference`: its released code interleaves flows and pixels, and flows and samples of a batch.
    """

    def __init__(self, channels: int, *, warp: str = "exact", layout: str = "exact") -> None:
        super().__init__()
        self.grid, self.layout = warp, layout
        narrow, flow = max(channels // 4, 1), 2 * FLOWS
        self.encode = nn.Conv2d(channels, narrow, 2, stride=2)
        self.update = nn.Conv2d(narrow + flow, flow, 1)
        self.reset = nn.Conv2d(narrow + flow, flow, 1)
        self.candidate = nn.Conv2d(narrow + flow, flow, 1)
        self.weights = nn.Conv2d(narrow, FLOWS, 1)
        self.merge = nn.Conv2d(FLOWS * narrow, narrow, 1)
        self.decode = nn.ConvTranspose2d(narrow, channels, 4, stride=2, padding=1)
        self.gate = nn.Conv2d(2 * channels, channels, 1)

    def init_state(self, x_BCHW: Tensor) -> tuple[Tensor, Tensor]:
        """Return zeros for flow and trend, (B, 18, ceil(H / 2), ceil(W / 2))."""
        batch, _, height, width = x_BCHW.shape
        shape = (batch, 2 * FLOWS, (height + 1) // 2, (width + 1) // 2)
        return x_BCHW.new_zeros(shape), x_BCHW.new_zeros(shape)

    def forward(self, h_BCHW: Tensor, flow_BCHW: Tensor, trend_BCHW: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Return moved output, new flow and new trend; channel 2q of a flow is u of vector q, 2q + 1 is v."""
        height, width = h_BCHW.shape[-2:]
        e_BCHW = self.encode(F.pad(h_BCHW, (0, width % 2, 0, height % 2)))
        u = self.update(cat([e_BCHW, flow_BCHW], dim=1)).sigmoid()
        r = self.reset(cat([e_BCHW, flow_BCHW], dim=1)).sigmoid()
        z = self.candidate(cat([e_BCHW, r * flow_BCHW], dim=1)).tanh()
        trend_BCHW = trend_BCHW + TREND_STEP * (flow_BCHW - trend_BCHW)
        flow_BCHW = u * z + (1 - u) * flow_BCHW + trend_BCHW
        samples_BLCHW = warp(e_BCHW, self._flows(flow_BCHW), self.grid) * self.weights(e_BCHW).sigmoid()[:, :, None]
        decoded_BCHW = self.decode(self._merged(samples_BLCHW))[..., :height, :width]
        gate_BCHW = self.gate(cat([decoded_BCHW, h_BCHW], dim=1)).sigmoid()
        return gate_BCHW * h_BCHW + (1 - gate_BCHW) * decoded_BCHW, flow_BCHW, trend_BCHW

    def _flows(self, flow_BCHW: Tensor) -> Tensor:
        """Return the vectors (B, 9, 2, H, W); the released code reads the same numbers as (9, B, 2, H, W)."""
        if self.layout == "exact":
            return unflatten(flow_BCHW, 1, (FLOWS, 2))
        batch, _, height, width = flow_BCHW.shape
        return flow_BCHW.reshape(FLOWS, batch, 2, height, width).transpose(0, 1)

    def _merged(self, samples_BLCHW: Tensor) -> Tensor:
        """Apply the 1 x 1 convolution of all flows; its weight has flows inside channels, unlike `warp`.

        The released code has the flows after the pixels and reads the numbers on as if they were channels.
        """
        if self.layout == "reference":
            batch, _, _, height, width = samples_BLCHW.shape
            merged: Tensor = self.merge(samples_BLCHW.permute(0, 2, 3, 4, 1).reshape(batch, -1, height, width))
            return merged
        weight = unflatten(self.merge.weight, 1, (-1, FLOWS)).transpose(1, 2).flatten(1, 2)
        return F.conv2d(samples_BLCHW.flatten(1, 2), weight, self.merge.bias)


@CELLS.register("motionrnn")
class MotionRNNCell(MIMCell):
    """MotionRNN over MIM (Wu et al. 2021, arXiv:2103.02243, section 3.1; MotionGRU after the cell, as the reference).

    State: that of MIM, then flow and trend of the MotionGRU at half resolution. The last layer returns MIM's output
    unchanged, so it has no MotionGRU.

    Args:
        channels: of input, output and state.
        kernel_size: of the convolutions of MIM.
        position: of the layer in its stack.
        warp: exact, or reference for weights that were trained with the released code, see `warp`.
        layout: the same for the order in which MotionGRU merges its samples.

    Raises:
        InputError: an impossible option.
    """

    def __init__(
        self,
        channels: int,
        kernel_size: int = 3,
        position: LayerPosition = MIDDLE,
        *,
        warp: str = "exact",
        layout: str = "exact",
    ) -> None:
        super().__init__(channels, kernel_size, position)
        require_choice(WARPS, warp=warp, layout=layout)
        self.motion = None if position.is_last else MotionGRU(channels, warp=warp, layout=layout)

    def init_state(self, x_BCHW: Tensor) -> State:
        return super().init_state(x_BCHW) + (() if self.motion is None else self.motion.init_state(x_BCHW))

    @property
    def reach(self) -> int | None:
        return None  # flows are unbounded

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
