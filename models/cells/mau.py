"""MAU: the motion-aware unit, which mixes its earlier states by how much their inputs resemble the present one."""

from math import prod, sqrt
from typing import Final

import torch
from torch import Tensor, nn, zeros_like

from models.cells.base import CELLS, MIDDLE, LayerPosition, RecurrentCell, State, Step
from models.checks import require_odd, require_positive

REACH_BACK: Final = 5
"""Earlier steps that the attention takes into account (tau in the paper, and its value for Moving MNIST)."""


class WholeFieldConv(nn.Sequential):
    """Convolution, then a normalisation over all channels and pixels, with one weight and bias for each channel."""

    def __init__(self, in_channels: int, channels: int, kernel_size: int) -> None:
        super().__init__(
            nn.Conv2d(in_channels, channels, kernel_size, padding=kernel_size // 2), nn.GroupNorm(1, channels)
        )


@CELLS.register("mau")
class MAUCell(RecurrentCell):
    """Motion-aware unit (Chang et al. 2021, NeurIPS, openreview qwtfY-3ibt7, eqs. 1 to 9).

    State: the temporal states of the last `tau` steps, the oldest first, then the inputs of these steps.

    The temporal state T passes from step to step, the spatial state S from layer to layer: it is both input and output.
    Normalised as in OpenSTL, but with one weight for each channel instead of each pixel, so that any size fits. Option
    `tau`: steps of the attention.
    """

    def __init__(
        self, channels: int, kernel_size: int = 3, position: LayerPosition = MIDDLE, *, tau: int = REACH_BACK
    ) -> None:
        super().__init__(channels, kernel_size, position)
        require_positive(tau=tau)
        require_odd(kernel_size=kernel_size)
        self.tau = tau
        self.trust = WholeFieldConv(channels, channels, kernel_size)
        self.query = WholeFieldConv(channels, channels, kernel_size)
        self.temporal_gates = WholeFieldConv(channels, 3 * channels, kernel_size)
        self.spatial_gates = WholeFieldConv(channels, 3 * channels, kernel_size)

    def init_state(self, x_BCHW: Tensor) -> State:
        return tuple(zeros_like(x_BCHW) for _ in range(2 * self.tau))

    def forward(self, x_BCHW: Tensor, state: State, memory_BCHW: Tensor | None) -> Step:
        temporal, inputs = state[: self.tau], state[self.tau :]
        fused_BCHW = self._fused(x_BCHW, temporal, inputs)
        t_gate, t_own, t_other = self.temporal_gates(fused_BCHW).chunk(3, dim=1)
        s_gate, s_other, s_own = self.spatial_gates(x_BCHW).chunk(3, dim=1)
        t_BCHW = torch.lerp(s_other, t_own, t_gate.sigmoid())
        y_BCHW = torch.lerp(t_other, s_own, s_gate.sigmoid())
        return Step(y_BCHW, (*temporal[1:], t_BCHW, *inputs[1:], x_BCHW), memory_BCHW)

    def _fused(self, x_BCHW: Tensor, temporal: State, inputs: State) -> Tensor:
        """Return the newest temporal state, mixed pixel by pixel with the attention's mean of the earlier ones."""
        query_BCHW = self.query(x_BCHW)
        unit = sqrt(prod(x_BCHW.shape[1:]))
        likeness_BN = torch.stack(
            [(each * query_BCHW).sum(dim=(1, 2, 3), dtype=torch.float32) / unit for each in inputs], dim=1
        )
        weight_BN = likeness_BN.softmax(dim=1).to(x_BCHW.dtype)
        trend_BCHW = torch.stack([weight_BN[:, n, None, None, None] * each for n, each in enumerate(temporal)]).sum(
            dim=0
        )
        return torch.lerp(trend_BCHW, temporal[-1], self.trust(temporal[-1]).sigmoid())
