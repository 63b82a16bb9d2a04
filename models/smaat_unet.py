"""SmaAt-UNet: a small U-Net of depthwise-separable convolutions with attention at every scale."""

from typing import Final

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from core.errors import InputError
from models.checks import require_odd, require_positive
from models.direct import DirectModel

PER_CHANNEL: Final = 2
"""Kernels of a depthwise convolution for each of its input channels."""
REDUCTION: Final = 16
PLACES: Final = 7
"""Edge of the kernel that weighs places."""


class SeparablePair(nn.Sequential):
    """Two depthwise-separable convolutions, each normalised over the batch and rectified."""

    def __init__(self, in_channels: int, middle: int, channels: int, kernel_size: int) -> None:
        layers: list[nn.Module] = []
        for ins, outs in ((in_channels, middle), (middle, channels)):
            wide = PER_CHANNEL * ins
            layers += [
                nn.Conv2d(ins, wide, kernel_size, padding=kernel_size // 2, groups=ins),
                nn.Conv2d(wide, outs, 1),
            ]
            layers += [nn.BatchNorm2d(outs), nn.ReLU()]
        super().__init__(*layers)


class BlockWeights(nn.Module):
    """CBAM (Woo et al. 2018): weights of channels from their mean and maximum, then weights of places."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        narrow = max(channels // REDUCTION, 1)
        self.squeeze, self.excite = nn.Linear(channels, narrow), nn.Linear(narrow, channels)
        self.places = nn.Conv2d(2, 1, PLACES, padding=PLACES // 2, bias=False)
        self.norm = nn.BatchNorm2d(1)

    def forward(self, x_BCHW: Tensor) -> Tensor:
        """Return the weighted input, (B, C, H, W)."""
        weight_BC = self._of_channels(x_BCHW.mean(dim=(2, 3))) + self._of_channels(x_BCHW.amax(dim=(2, 3)))
        x_BCHW = x_BCHW * weight_BC.sigmoid()[:, :, None, None]
        pooled_BCHW = torch.cat([x_BCHW.mean(dim=1, keepdim=True), x_BCHW.amax(dim=1, keepdim=True)], dim=1)
        weighted: Tensor = x_BCHW * self.norm(self.places(pooled_BCHW)).sigmoid()
        return weighted

    def _of_channels(self, pooled_BC: Tensor) -> Tensor:
        weight_BC: Tensor = self.excite(self.squeeze(pooled_BC).relu())
        return weight_BC


class SmaAtUNet(DirectModel):
    """SmaAt-UNet (Trebing et al. 2021, Pattern Recognit. Lett. 145, arXiv:2007.04417): five scales, one field out.

    A pass returns one frame; further leads start from the own forecast. The defaults have the paper's 4.0 M parameters
    (12 frames in). Batch normalisation: forecasts are those of evaluation mode. Written from the paper.

    Args:
        in_channels: channels of a frame.
        hidden_channels: of the finest scale; each coarser one has twice as many, but for the coarsest one.
        num_layers: taken as 6: scales are set by `levels`.
        kernel_size: of the depthwise convolutions.
        input_steps: frames in.
        levels: scales, each half as fine as the one before.
        residual: see `DirectModel`.

    Raises:
        InputError: an impossible number.
    """

    def __init__(
        self,
        *,
        in_channels: int = 1,
        hidden_channels: int = 64,
        num_layers: int = 6,
        kernel_size: int = 3,
        input_steps: int = 12,
        levels: int = 5,
        residual: bool = False,
    ) -> None:
        require_positive(in_channels=in_channels, input_steps=input_steps)
        require_odd(kernel_size=kernel_size)
        _check(num_layers, levels, hidden_channels)
        super().__init__(
            in_channels=in_channels, input_steps=input_steps, multiple=2 ** (levels - 1), residual=residual
        )
        widths = [hidden_channels * 2**level for level in range(levels - 1)]
        self._build(input_steps * in_channels, [*widths, widths[-1]], kernel_size)
        self.head = nn.Conv2d(hidden_channels, in_channels, 1)

    def _build(self, given: int, widths: list[int], kernel_size: int) -> None:
        """Build the way down with its weights, and the way up, one pair of convolutions a scale."""
        self.down = nn.ModuleList(
            SeparablePair(before, width, width, kernel_size)
            for before, width in zip([given, *widths[:-1]], widths, strict=True)
        )
        self.weights = nn.ModuleList(BlockWeights(width) for width in widths)
        outs = [*(width // 2 for width in reversed(widths[1:-1])), widths[0]]
        joined = [2 * width for width in reversed(widths[:-1])]
        self.up = nn.ModuleList(
            SeparablePair(wide, wide // 2, out, kernel_size) for wide, out in zip(joined, outs, strict=True)
        )

    def one_pass(self, frames_BTCHW: Tensor) -> Tensor:
        """Map `input_steps` frames to the next one, (B, 1, C, H, W)."""
        x_BCHW, skips = frames_BTCHW.flatten(1, 2), list[Tensor]()
        for number, (layers, weights) in enumerate(zip(self.down, self.weights, strict=True)):
            x_BCHW = self._part(layers, F.max_pool2d(x_BCHW, 2) if number else x_BCHW)
            skips.append(self._part(weights, x_BCHW))
        x_BCHW = skips.pop()
        for layers in self.up:
            wide_BCHW = F.interpolate(x_BCHW, scale_factor=2.0, mode="bilinear", align_corners=True)
            x_BCHW = self._part(layers, torch.cat([skips.pop(), wide_BCHW], dim=1))
        frame_BCHW: Tensor = self.head(x_BCHW)
        return frame_BCHW[:, None]


def _check(num_layers: int, levels: int, hidden_channels: int) -> None:
    if num_layers != 6 or levels < 2 or hidden_channels < 2 or hidden_channels % 2:
        raise InputError(
            "smaat-unet: expected even hidden_channels and levels of at least 2 (its depth is that option), got "
            f"num_layers={num_layers}, levels={levels}, hidden_channels={hidden_channels}"
        )
