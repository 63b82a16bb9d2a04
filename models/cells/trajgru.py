"""Trajectory GRU: a recurrence along learned flows."""

from typing import ClassVar, cast

import torch
import torch.nn.functional as F
from torch import Tensor, nn, split, unflatten
from torch.utils.checkpoint import checkpoint

from models.cells.base import CELLS, MIDDLE, JointConv2d, LayerPosition, RecurrentCell, State, Step
from models.cells.warp import WARPS, warp
from models.checks import require_choice, require_odd, require_positive

SLOPE = 0.2


@CELLS.register("trajgru")
class TrajGRUCell(RecurrentCell):
    """Trajectory GRU (Shi et al. 2017, arXiv:1706.03458, section 3.3); state: (h_BCHW,).

    Args:
        channels: of input, output and state.
        kernel_size: of the input's convolution.
        position: not used.
        links: L, flows along which the state is sampled.
        flow_kernel: edge of the flow network's kernels, odd.
        flow_channels: width of the flow network; with 5 x 5 and 32 the MS-RNN paper's 2.11 M parameters.
        warp: exact, or reference for weights that were trained with the released code, see `warp`.

    Raises:
        InputError: an impossible option.
    """

    state_names: ClassVar[tuple[str, ...]] = ("h",)

    def __init__(
        self,
        channels: int,
        kernel_size: int = 3,
        position: LayerPosition = MIDDLE,
        *,
        links: int = 10,
        flow_kernel: int = 5,
        flow_channels: int = 32,
        warp: str = "exact",
    ) -> None:
        super().__init__(channels, kernel_size, position)
        require_positive(links=links, flow_channels=flow_channels)
        require_odd(flow_kernel=flow_kernel)
        require_choice(WARPS, warp=warp)
        self.links, self.grid = links, warp
        self.input_gates = nn.Conv2d(channels, 3 * channels, kernel_size, padding=kernel_size // 2)
        self.flow_features = JointConv2d((channels, channels), flow_channels, flow_kernel)
        self.flows = nn.Conv2d(flow_channels, 2 * links, flow_kernel, padding=flow_kernel // 2)
        self.state_gates = nn.Conv2d(links * channels, 3 * channels, 1)

    def forward(self, x_BCHW: Tensor, state: State, memory_BCHW: Tensor | None) -> Step:
        (h_BCHW,) = state
        both = [2 * self.channels, self.channels]
        x_zr, x_q = split(self.input_gates(x_BCHW), both, dim=1)
        h_zr, h_q = split(self._moved(h_BCHW, self._flow(x_BCHW, h_BCHW)), both, dim=1)
        z, r = (x_zr + h_zr).sigmoid().chunk(2, dim=1)
        q = F.leaky_relu(torch.addcmul(x_q, r, h_q), SLOPE)
        h_BCHW = torch.lerp(q, h_BCHW, z)
        return Step(h_BCHW, (h_BCHW,), memory_BCHW)

    def _flow(self, x_BCHW: Tensor, h_BCHW: Tensor) -> Tensor:
        """Return (B, L, 2, H, W): displacements in pixels from the source of the state to its destination."""
        features = F.leaky_relu(self.flow_features(x_BCHW, h_BCHW), SLOPE)
        return unflatten(self.flows(features), 1, (self.links, 2))

    def _moved(self, h_BCHW: Tensor, flow_BL2HW: Tensor) -> Tensor:
        """Return the state's part of the gates; its L warped copies are recomputed for the gradient, not saved."""
        if torch.is_grad_enabled():
            moved = checkpoint(self._sampled, h_BCHW, flow_BL2HW, use_reentrant=False, preserve_rng_state=False)
            return cast(Tensor, moved)
        return self._sampled(h_BCHW, flow_BL2HW)

    def _sampled(self, h_BCHW: Tensor, flow_BL2HW: Tensor) -> Tensor:
        """Apply the 1 x 1 convolution of all links as a matrix product: in `warp`'s result they are adjacent."""
        warped_BHWK = warp(h_BCHW, -flow_BL2HW, self.grid).flatten(1, 2).permute(0, 2, 3, 1)
        moved_BHWC = F.linear(warped_BHWK, self.state_gates.weight.flatten(1), self.state_gates.bias)
        moved_BCHW = moved_BHWC.permute(0, 3, 1, 2)
        return moved_BCHW.contiguous() if h_BCHW.is_contiguous() else moved_BCHW  # stored as h, to which it is added
