"""Sampling along learned flows: the warp, TrajGRU, and the MotionGRU of MotionRNN."""

from typing import ClassVar, Final

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from tests.reference.cell import CELLS, Cell, Step, conv

SLOPE: Final = 0.2
VECTORS: Final = 9


def warp(image_BCHW: Tensor, u_BHW: Tensor, v_BHW: Tensor) -> Tensor:
    """Return bilinear samples of an image at every pixel plus its flow (u right, v down, in pixels); zero outside."""
    height, width = image_BCHW.shape[-2:]
    x_BHW = torch.arange(width, dtype=u_BHW.dtype, device=u_BHW.device) + u_BHW
    y_BHW = torch.arange(height, dtype=v_BHW.dtype, device=v_BHW.device)[:, None] + v_BHW
    grid_BHW2 = torch.stack([2 * x_BHW / max(width - 1, 1) - 1, 2 * y_BHW / max(height - 1, 1) - 1], dim=-1)
    return F.grid_sample(image_BCHW, grid_BHW2, mode="bilinear", padding_mode="zeros", align_corners=True)


@CELLS.register("trajgru")
class TrajGRU(Cell):
    """Shi et al. 2017, arXiv:1706.03458; state: h. Links are warped one by one."""

    states: ClassVar[int] = 1

    def __init__(
        self,
        channels: int,
        layer: int,
        num_layers: int,
        *,
        links: int = 10,
        flow_kernel: int = 5,
        flow_channels: int = 32,
    ) -> None:
        super().__init__(channels, layer, num_layers)
        self.links = links
        self.input_gates = conv(channels, 3 * channels)
        self.flow_features_x = conv(channels, flow_channels, flow_kernel)
        self.flow_features_h = conv(channels, flow_channels, flow_kernel)
        self.flows = conv(flow_channels, 2 * links, flow_kernel)
        self.state_gates = conv(links * channels, 3 * channels, 1)

    def forward(self, x_BCHW: Tensor, state: tuple[Tensor, ...]) -> Step:
        """Advance by one time step."""
        (h_BCHW,) = state
        x_z, x_r, x_q = self.input_gates(x_BCHW).chunk(3, dim=1)
        features = F.leaky_relu(self.flow_features_x(x_BCHW) + self.flow_features_h(h_BCHW), SLOPE)
        flows = self.flows(features)
        warped = [warp(h_BCHW, -flows[:, 2 * n], -flows[:, 2 * n + 1]) for n in range(self.links)]
        h_z, h_r, h_q = self.state_gates(torch.cat(warped, dim=1)).chunk(3, dim=1)
        z, r = torch.sigmoid(x_z + h_z), torch.sigmoid(x_r + h_r)
        q = F.leaky_relu(x_q + r * h_q, SLOPE)
        h_BCHW = (1 - z) * q + z * h_BCHW
        return Step(h_BCHW, (h_BCHW,))


class MotionGRU(nn.Module):
    """Wu et al. 2021, arXiv:2103.02243, as in the MS-RNN paper; half resolution, odd sides padded with zeros."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        narrow, flow = max(channels // 4, 1), 2 * VECTORS
        self.encode = nn.Conv2d(channels, narrow, 2, stride=2)
        self.update = conv(narrow + flow, flow, 1)
        self.reset = conv(narrow + flow, flow, 1)
        self.candidate = conv(narrow + flow, flow, 1)
        self.weights = conv(narrow, VECTORS, 1)
        self.merge = conv(VECTORS * narrow, narrow, 1)
        self.decode = nn.ConvTranspose2d(narrow, channels, 4, stride=2, padding=1)
        self.gate = conv(2 * channels, channels, 1)

    def init_state(self, x_BCHW: Tensor) -> tuple[Tensor, Tensor]:
        """Return zeros for flow and trend, (B, 18, ceil(H / 2), ceil(W / 2))."""
        batch, _, height, width = x_BCHW.shape
        zeros = x_BCHW.new_zeros(batch, 2 * VECTORS, (height + 1) // 2, (width + 1) // 2)
        return zeros, zeros

    def forward(self, h_BCHW: Tensor, flow_BCHW: Tensor, trend_BCHW: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Return the moved output, the new flow and the new trend."""
        height, width = h_BCHW.shape[-2:]
        odd = height % 2 or width % 2
        e_BCHW = self.encode(F.pad(h_BCHW, (0, width % 2, 0, height % 2)) if odd else h_BCHW)
        u = torch.sigmoid(self.update(torch.cat([e_BCHW, flow_BCHW], dim=1)))
        r = torch.sigmoid(self.reset(torch.cat([e_BCHW, flow_BCHW], dim=1)))
        z = torch.tanh(self.candidate(torch.cat([e_BCHW, r * flow_BCHW], dim=1)))
        trend_BCHW = trend_BCHW + 0.5 * (flow_BCHW - trend_BCHW)
        flow_BCHW = u * z + (1 - u) * flow_BCHW + trend_BCHW
        weights = torch.sigmoid(self.weights(e_BCHW))
        samples = [
            weights[:, n : n + 1] * warp(e_BCHW, flow_BCHW[:, 2 * n], flow_BCHW[:, 2 * n + 1]) for n in range(VECTORS)
        ]
        merged_BCHW = self.merge(torch.stack(samples, dim=2).flatten(1, 2))
        decoded_BCHW = self.decode(merged_BCHW)[..., :height, :width]
        gate = torch.sigmoid(self.gate(torch.cat([decoded_BCHW, h_BCHW], dim=1)))
        return gate * h_BCHW + (1 - gate) * decoded_BCHW, flow_BCHW, trend_BCHW
