"""RainNet: a U-Net of convolutions from four radar fields to the next one."""

from itertools import pairwise
from typing import Final

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from core.errors import InputError
from models.checks import require_odd, require_positive
from models.direct import DirectModel

LAST: Final = 2
"""Channels of the last layer before the output."""


class TwoConvolutions(nn.Sequential):
    """Two convolutions, each with a rectifier; dropout after them if the rate is not 0."""

    def __init__(self, in_channels: int, channels: int, kernel_size: int, dropout: float = 0.0) -> None:
        sizes = ((in_channels, channels), (channels, channels))
        layers: list[nn.Module] = []
        for ins, outs in sizes:
            layers += [nn.Conv2d(ins, outs, kernel_size, padding=kernel_size // 2), nn.ReLU()]
        super().__init__(*layers, *([nn.Dropout(dropout)] if dropout else []))


class RainNet(DirectModel):
    """RainNet (Ayzel et al. 2020, Geosci. Model Dev. 13, 2631): five scales, skips by concatenation, one field out.

    A pass returns one frame; further leads start from the own forecast, as in the paper. The defaults have its 31.4 M
    parameters. Its fields are ln(R + 0.01) with R in depths of 5 minutes. Written from the paper.

    Args:
        in_channels: channels of a frame.
        hidden_channels: of the finest scale; each coarser one has twice as many.
        num_layers: taken as 6: scales are set by `levels`.
        kernel_size: of all convolutions.
        input_steps: frames in.
        levels: scales, each half as fine as the one before.
        dropout: rate at the two coarsest scales, in training.
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
        input_steps: int = 4,
        levels: int = 5,
        dropout: float = 0.5,
        residual: bool = False,
    ) -> None:
        require_positive(in_channels=in_channels, hidden_channels=hidden_channels, input_steps=input_steps)
        require_odd(kernel_size=kernel_size)
        _check(num_layers, levels, dropout)
        super().__init__(
            in_channels=in_channels, input_steps=input_steps, multiple=2 ** (levels - 1), residual=residual
        )
        widths = [hidden_channels * 2**level for level in range(levels)]
        drops = [dropout if level >= levels - 2 else 0.0 for level in range(levels)]
        self._build(input_steps * in_channels, widths, drops, kernel_size)
        self.last = nn.Conv2d(hidden_channels, LAST * in_channels, kernel_size, padding=kernel_size // 2)
        self.head = nn.Conv2d(LAST * in_channels, in_channels, 1)

    def _build(self, given: int, widths: list[int], drops: list[float], kernel_size: int) -> None:
        """Build the way down and the way up, one pair of convolutions a scale."""
        self.down = nn.ModuleList(
            TwoConvolutions(before, width, kernel_size, drop)
            for before, width, drop in zip([given, *widths[:-1]], widths, drops, strict=True)
        )
        self.up = nn.ModuleList(
            TwoConvolutions(coarse + fine, fine, kernel_size) for coarse, fine in pairwise(reversed(widths))
        )

    def one_pass(self, frames_BTCHW: Tensor) -> Tensor:
        """Map `input_steps` frames to the next one, (B, 1, C, H, W)."""
        x_BCHW, skips = frames_BTCHW.flatten(1, 2), list[Tensor]()
        for number, layers in enumerate(self.down):
            x_BCHW = self._part(layers, F.max_pool2d(x_BCHW, 2) if number else x_BCHW)
            skips.append(x_BCHW)
        skips.pop()
        for layers in self.up:
            wide_BCHW = F.interpolate(x_BCHW, scale_factor=2.0, mode="nearest")
            x_BCHW = self._part(layers, torch.cat([wide_BCHW, skips.pop()], dim=1))
        frame_BCHW: Tensor = self.head(F.relu(self.last(x_BCHW)))
        return frame_BCHW[:, None]


def _check(num_layers: int, levels: int, dropout: float) -> None:
    if num_layers != 6 or levels < 2 or not 0 <= dropout < 1:
        raise InputError(
            "rainnet: expected levels of at least 2 and dropout of 0 to 1 (its depth is the option levels), got "
            f"num_layers={num_layers}, levels={levels}, dropout={dropout}"
        )
