"""Trajectory GRU: a recurrence that looks along learned flows."""

from typing import ClassVar

import torch.nn.functional as F
from torch import Tensor, nn, unflatten

from models.cells.base import CELLS, MIDDLE, JointConv2d, Place, RecurrentCell, State, Step
from models.cells.warp import warp

SLOPE = 0.2


@CELLS.register("trajgru")
class TrajGRUCell(RecurrentCell):
    """Trajectory GRU (Shi et al. 2017, arXiv:1706.03458, section 3.3); state: (h_BCHW,).

    Args:
        channels: of input, output and state.
        kernel_size: of the input's convolution.
        place: not used.
        links: L, flows along which the state is sampled.
        flow_kernel: edge of the flow network's kernels, odd.
        flow_channels: width of the flow network; with 5 x 5 and 32 the MS-RNN paper's 2.11 M parameters.
    """

    state_names: ClassVar[tuple[str, ...]] = ("h",)

    def __init__(
        self,
        channels: int,
        kernel_size: int = 3,
        place: Place = MIDDLE,
        *,
        links: int = 10,
        flow_kernel: int = 5,
        flow_channels: int = 32,
    ) -> None:
        super().__init__(channels, kernel_size, place)
        self.links = links
        self.input_gates = nn.Conv2d(channels, 3 * channels, kernel_size, padding=kernel_size // 2)
        self.flow_features = JointConv2d((channels, channels), flow_channels, flow_kernel)
        self.flows = nn.Conv2d(flow_channels, 2 * links, flow_kernel, padding=flow_kernel // 2)
        self.state_gates = nn.Conv2d(links * channels, 3 * channels, 1)

    def forward(self, x_BCHW: Tensor, state: State, memory_BCHW: Tensor | None) -> Step:
        (h_BCHW,) = state
        x_z, x_r, x_q = self.input_gates(x_BCHW).chunk(3, dim=1)
        h_z, h_r, h_q = self._from_state(warp(h_BCHW, -self._flow(x_BCHW, h_BCHW))).chunk(3, dim=1)
        z, r = (x_z + h_z).sigmoid(), (x_r + h_r).sigmoid()
        q = F.leaky_relu(x_q + r * h_q, SLOPE)
        h_BCHW = (1 - z) * q + z * h_BCHW
        return Step(h_BCHW, (h_BCHW,), memory_BCHW)

    def _flow(self, x_BCHW: Tensor, h_BCHW: Tensor) -> Tensor:
        """(B, L, 2, H, W), in pixels, from where the state comes to where it goes."""
        features = F.leaky_relu(self.flow_features(x_BCHW, h_BCHW), SLOPE)
        return unflatten(self.flows(features), 1, (self.links, 2))

    def _from_state(self, warped_BCLHW: Tensor) -> Tensor:
        """The 1 x 1 convolution of all links; its weight has channels inside links, as the reference, not as `warp`."""
        weight = unflatten(self.state_gates.weight, 1, (self.links, self.channels)).transpose(1, 2).flatten(1, 2)
        return F.conv2d(warped_BCLHW.flatten(1, 2), weight, self.state_gates.bias)
