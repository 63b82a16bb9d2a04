"""PhyDNet: a recurrent cell of spatial derivatives next to a ConvLSTM, both in the space of an encoder."""

from collections.abc import Sequence
from itertools import pairwise
from math import factorial
from typing import Any, ClassVar, Final

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from core.errors import InputError
from models.cells.base import CatConv2d
from models.cells.gates import gated, updated
from models.checks import require_odd, require_positive
from models.rollout import FrameByFrame

GROUPS_OF_NORM: Final = 16
SLOPE_BELOW_ZERO: Final = 0.2
SHRINK: Final = 4
"""Factor by which the encoder makes the sides of a frame smaller."""


class NormedConv(nn.Sequential):
    """Convolution of 3 x 3, group normalisation, LeakyReLU; with `up` it is transposed and doubles the size."""

    def __init__(self, in_channels: int, channels: int, *, stride: int = 1, up: bool = False) -> None:
        conv: nn.Module = (
            nn.ConvTranspose2d(in_channels, channels, 3, stride, padding=1, output_padding=stride - 1)
            if up
            else nn.Conv2d(in_channels, channels, 3, stride, padding=1)
        )
        super().__init__(conv, nn.GroupNorm(GROUPS_OF_NORM, channels), nn.LeakyReLU(SLOPE_BELOW_ZERO))


class PhyCell(nn.Module):
    """Prediction by learned derivatives, then correction by the input (Le Guen and Thome 2020, eqs. 6 to 8).

    Args:
        channels: of input and state.
        kernel_size: of the derivatives; there is one filter for each of their orders in both directions.
    """

    def __init__(self, channels: int, kernel_size: int) -> None:
        super().__init__()
        orders = kernel_size**2
        self.derivatives = nn.Conv2d(channels, orders, kernel_size, padding=kernel_size // 2)
        self.norm = nn.GroupNorm(kernel_size, orders)
        self.combine = nn.Conv2d(orders, channels, 1)
        self.gain = CatConv2d(2 * channels, channels, 3)

    def forward(self, x_BCHW: Tensor, h_BCHW: Tensor) -> Tensor:
        """Return the state after one step."""
        predicted_BCHW = h_BCHW + self.combine(self.norm(self.derivatives(h_BCHW)))
        return torch.lerp(predicted_BCHW, x_BCHW, self.gain(x_BCHW, h_BCHW).sigmoid())

    def penalty(self) -> Tensor:
        """Return how far the filters are from the derivatives that they stand for (eqs. 9 and 10).

        The moments of the k-th filter are to be 1 at its own orders and 0 elsewhere; the result is the mean of squares
        over moments and filters, summed over the channels of the input.
        """
        filters_KCHW = self.derivatives.weight
        edge = filters_KCHW.shape[-1]
        wanted_KHW = torch.eye(edge**2, device=filters_KCHW.device).reshape(-1, edge, edge)
        off_KCHW = moments(filters_KCHW.float()) - wanted_KHW[:, None]
        return off_KCHW.square().mean(dim=(0, 2, 3)).sum()


def moments(filters_KCHW: Tensor) -> Tensor:
    """Return the moments of square filters: sums of the filter times powers of the offset over their factorial."""
    edge = filters_KCHW.shape[-1]
    offset_N = torch.arange(edge, device=filters_KCHW.device, dtype=torch.float64) - (edge - 1) // 2
    power_MN = torch.stack([offset_N**order / factorial(order) for order in range(edge)]).to(filters_KCHW.dtype)
    return power_MN @ filters_KCHW @ power_MN.T


class PhyDNet(FrameByFrame):
    """PhyDNet (Le Guen and Thome 2020, CVPR, arXiv:2003.01460): physical and residual dynamics, added before decoding.

    The defaults are the configuration whose size OpenSTL prints for Moving MNIST (3.1 M, 15.3 G). Forecasts are 0 to 1
    by a sigmoid. In training the loss has the penalty of the derivatives on top, in the paper's proportion to a sum
    over the frames of mean squared errors.

    Args:
        in_channels: channels of a frame.
        hidden_channels: of the encoder's space, a multiple of 32.
        num_layers: taken as 6: the layers of the ConvLSTM are set by `lstm_channels`.
        kernel_size: taken as 3: the derivatives' is set by `derivative_kernel`.
        lstm_channels: of the ConvLSTM's layers before its last one, which has `hidden_channels`.
        derivative_kernel: edge of the filters of derivatives, odd.
        penalty: weight of the penalty.

    Raises:
        InputError: an impossible number.
    """

    compiles: ClassVar[bool] = False

    def __init__(
        self,
        *,
        in_channels: int = 1,
        hidden_channels: int = 64,
        num_layers: int = 6,
        kernel_size: int = 3,
        lstm_channels: Sequence[int] = (128, 128),
        derivative_kernel: int = 7,
        penalty: float = 1.0,
    ) -> None:
        super().__init__(in_channels)
        _check(hidden_channels, num_layers, kernel_size, penalty)
        require_positive(in_channels=in_channels, lstm_channels=min(lstm_channels, default=1))
        require_odd(derivative_kernel=derivative_kernel)
        self.penalty = penalty
        self._build_shared(in_channels, hidden_channels, hidden_channels // 2)
        c = hidden_channels
        self.to_physical, self.to_residual = (nn.Sequential(NormedConv(c, c), NormedConv(c, c)) for _ in range(2))
        self.physical = PhyCell(c, derivative_kernel)
        widths = [c, *lstm_channels, c]
        self.residual_gates = nn.ModuleList(CatConv2d(ins + outs, 4 * outs, 3) for ins, outs in pairwise(widths))
        self.from_physical, self.from_residual = (
            nn.Sequential(NormedConv(c, c, up=True), NormedConv(c, c, up=True)) for _ in range(2)
        )

    def _build_shared(self, in_channels: int, c: int, half: int) -> None:
        """Build the encoder and the decoder of both parts."""
        self.encoder = nn.Sequential(
            NormedConv(in_channels, half, stride=2), NormedConv(half, half), NormedConv(half, c, stride=2)
        )
        self.decoder = nn.Sequential(
            NormedConv(c, half, stride=2, up=True),
            NormedConv(half, half, up=True),
            nn.ConvTranspose2d(half, in_channels, 3, 2, padding=1, output_padding=1),
        )

    def predict_with_loss(
        self,
        frames_BTCHW: Tensor,
        lead_steps: int,
        *,
        future_BTCHW: Tensor | None = None,
        use_truth_TB: Tensor | Sequence[Sequence[bool]] | None = None,
    ) -> tuple[Tensor, Tensor | None]:
        """Return `predict_all`, and the weighted penalty, scaled from means over pixels to sums, as losses are here."""
        predictions_BTCHW = self.predict_all(
            frames_BTCHW, lead_steps, future_BTCHW=future_BTCHW, use_truth_TB=use_truth_TB
        )
        if not self.penalty:
            return predictions_BTCHW, None
        _, frames, channels, height, width = predictions_BTCHW.shape
        return predictions_BTCHW, self.penalty * channels * height * width / frames * self.physical.penalty()

    def _step(self, frame_BCHW: Tensor, state: Any, with_loss: bool) -> tuple[Tensor, Any, None]:
        del with_loss
        height, width = frame_BCHW.shape[-2:]
        whole_BCHW = F.pad(frame_BCHW, (0, -width % SHRINK, 0, -height % SHRINK), mode="replicate")
        latent_BCHW = self.encoder(whole_BCHW)
        h_BCHW, layers = self._zeros(latent_BCHW) if state is None else state
        h_BCHW = self.physical(self.to_physical(latent_BCHW), h_BCHW)
        x_BCHW, new_layers = self.to_residual(latent_BCHW), []
        for gates, (x_h_BCHW, c_BCHW) in zip(self.residual_gates, layers, strict=True):
            i, f, o, g = gates(x_BCHW, x_h_BCHW).chunk(4, dim=1)
            c_BCHW, _ = updated(c_BCHW, i, f, g)
            x_BCHW = gated(o, c_BCHW)
            new_layers.append((x_BCHW, c_BCHW))
        next_BCHW = self.decoder(self.from_physical(h_BCHW) + self.from_residual(x_BCHW)).sigmoid()
        return next_BCHW[..., :height, :width], (h_BCHW, tuple(new_layers)), None

    def _zeros(self, latent_BCHW: Tensor) -> Any:
        """Return the state before the first step: of the physical cell, and (h, c) of each layer of the ConvLSTM."""
        widths = [gates.out_channels // 4 for gates in self.residual_gates if isinstance(gates, CatConv2d)]
        zeros = [latent_BCHW.new_zeros(len(latent_BCHW), width, *latent_BCHW.shape[2:]) for width in widths]
        return torch.zeros_like(latent_BCHW), tuple((each_BCHW, each_BCHW) for each_BCHW in zeros)


def _check(hidden_channels: int, num_layers: int, kernel_size: int, penalty: float) -> None:
    multiple = 2 * GROUPS_OF_NORM
    wrong = hidden_channels < 1 or hidden_channels % multiple or num_layers != 6 or kernel_size != 3 or penalty < 0
    if wrong:
        raise InputError(
            f"phydnet: expected hidden_channels that are a multiple of {multiple}, penalty of at least 0, num_layers=6 "
            "and kernel_size=3 (its own options are lstm_channels and derivative_kernel), got "
            f"hidden_channels={hidden_channels}, penalty={penalty}, num_layers={num_layers}, kernel_size={kernel_size}"
        )
