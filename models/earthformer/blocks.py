"""Parts of Earthformer between its frames and its attention: convolutions, resampling, positions, blocks."""

from math import gcd

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from models.earthformer.attention import CrossAttention, CuboidAttention, FeedForward
from models.earthformer.cuboids import Cuboid, Size

SLOPE = 0.1


def conv_layer(in_channels: int, channels: int, kernel_size: int) -> nn.Sequential:
    """Return convolution, group normalisation and LeakyReLU as one layer."""
    return nn.Sequential(
        nn.Conv2d(in_channels, channels, kernel_size, padding=kernel_size // 2),
        nn.GroupNorm(gcd(16, channels), channels),
        nn.LeakyReLU(SLOPE),
    )


class PatchMerge(nn.Module):
    """Merges squares of cells into one cell: joined along the channels, normalised, mapped."""

    def __init__(self, in_channels: int, channels: int, scale: int) -> None:
        super().__init__()
        self.scale = scale
        self.norm = nn.LayerNorm(in_channels * scale**2)
        self.reduce = nn.Linear(in_channels * scale**2, channels, bias=False)

    def forward(self, x_BTHWC: Tensor) -> Tensor:
        """Return (B, T, H / scale, W / scale, channels)."""
        x = torch.unflatten(torch.unflatten(x_BTHWC, 3, (-1, self.scale)), 2, (-1, self.scale))
        y_BTHWC: Tensor = self.reduce(self.norm(x.transpose(3, 4).flatten(4)))
        return y_BTHWC


class Upsample(nn.Module):
    """Repeats every cell `scale` times in both directions and applies a convolution."""

    def __init__(self, in_channels: int, channels: int, kernel_size: int, scale: int) -> None:
        super().__init__()
        self.scale = scale
        self.conv = nn.Conv2d(in_channels, channels, kernel_size, padding=kernel_size // 2)

    def forward(self, x_BTHWC: Tensor) -> Tensor:
        """Return (B, T, scale H, scale W, channels)."""
        x_BCHW = x_BTHWC.flatten(0, 1).permute(0, 3, 1, 2)
        y_BHWC = self.conv(F.interpolate(x_BCHW, scale_factor=float(self.scale), mode="nearest")).permute(0, 2, 3, 1)
        return torch.unflatten(y_BHWC, 0, x_BTHWC.shape[:2])


class Positions(nn.Module):
    """A learned vector per time step plus one per cell; for fields of another size they are interpolated."""

    def __init__(self, block: Size, channels: int) -> None:
        super().__init__()
        self.time_TC = nn.Parameter(torch.empty(block[0], channels))
        self.cells_CHW = nn.Parameter(torch.empty(channels, *block[1:]))
        for parameter in self.parameters():
            nn.init.trunc_normal_(parameter, std=0.02)

    def forward(self, rows: int, columns: int) -> Tensor:
        """Return the position vectors, (T, rows, columns, channels)."""
        cells_CHW: Tensor = self.cells_CHW
        if cells_CHW.shape[1:] != (rows, columns):
            cells_CHW = F.interpolate(cells_CHW[None], size=(rows, columns), mode="bilinear", align_corners=False)[0]
        return self.time_TC[:, None, None] + cells_CHW.permute(1, 2, 0)


class SelfBlock(nn.Module):
    """Attention in every cuboid of a pattern, one after the other, each with its feed-forward layer."""

    def __init__(
        self,
        channels: int,
        heads: int,
        pattern: tuple[Cuboid, ...],
        block: Size,
        dropout: float,
        *,
        global_vectors: bool = False,
        is_last: bool = False,
    ) -> None:
        super().__init__()
        self.attentions = nn.ModuleList(
            CuboidAttention(
                channels,
                heads,
                cuboid,
                block,
                dropout,
                global_vectors=global_vectors,
                renew=global_vectors and not (is_last and n == len(pattern) - 1),
            )
            for n, cuboid in enumerate(pattern)
        )
        self.feed_forwards = nn.ModuleList(FeedForward(channels, dropout) for _ in pattern)

    def forward(self, x_BTHWC: Tensor, globals_BGC: Tensor | None = None) -> tuple[Tensor, Tensor | None]:
        """Return cells and global vectors, both updated."""
        for attention, feed_forward in zip(self.attentions, self.feed_forwards, strict=True):
            x_BTHWC, globals_BGC = attention(x_BTHWC, globals_BGC)
            x_BTHWC = feed_forward(x_BTHWC)
        return x_BTHWC, globals_BGC


class CrossBlock(nn.Module):
    """Attention to the encoder, followed by a feed-forward layer."""

    def __init__(self, channels: int, heads: int, steps: int, dropout: float) -> None:
        super().__init__()
        self.attention = CrossAttention(channels, heads, steps, dropout)
        self.feed_forward = FeedForward(channels, dropout)

    def forward(self, x_BTHWC: Tensor, encoded_BSHWC: Tensor) -> Tensor:
        """Return the updated cells of the forecast."""
        y_BTHWC: Tensor = self.feed_forward(self.attention(x_BTHWC, encoded_BSHWC))
        return y_BTHWC
