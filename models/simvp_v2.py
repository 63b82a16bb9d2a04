"""SimVP V2: an encoder, blocks of large-kernel gated attention over space and time together, and a decoder."""

from collections.abc import Callable
from itertools import pairwise

import torch
from torch import Tensor, nn

from core.errors import InputError
from models.checks import require_odd, require_positive
from models.direct import DirectModel

LARGEST_KERNEL = 21
DILATION = 3
GROUPS = 2
SCALE = 0.01
"""First value of the factors that scale each branch of a block."""


class ConvBlock(nn.Module):
    """Convolution, group normalisation, SiLU; with `up` it doubles the size, by pixels taken from channels."""

    def __init__(self, in_channels: int, channels: int, kernel_size: int, *, stride: int = 1, up: bool = False) -> None:
        super().__init__()
        outs = 4 * channels if up else channels
        self.conv = nn.Conv2d(in_channels, outs, kernel_size, stride=1 if up else stride, padding=kernel_size // 2)
        self.shuffle = nn.PixelShuffle(2) if up else nn.Identity()
        self.norm = nn.GroupNorm(GROUPS, channels)

    def forward(self, x_BCHW: Tensor) -> Tensor:
        """Return the block's output."""
        y_BCHW: Tensor = nn.functional.silu(self.norm(self.shuffle(self.conv(x_BCHW))))
        return y_BCHW


class LargeKernel(nn.Module):
    """A kernel of 21 x 21 in three parts: 5 x 5 by channel, 7 x 7 dilated by 3 by channel, and 1 x 1."""

    def __init__(self, channels: int, outs: int) -> None:
        super().__init__()
        near, far = 2 * DILATION - 1, LARGEST_KERNEL // DILATION
        self.near = nn.Conv2d(channels, channels, near, padding=near // 2, groups=channels)
        padding = DILATION * (far // 2)
        self.far = nn.Conv2d(channels, channels, far, padding=padding, groups=channels, dilation=DILATION)
        self.mix = nn.Conv2d(channels, outs, 1)

    def forward(self, x_BCHW: Tensor) -> Tensor:
        """Return the convolution, (B, outs, H, W)."""
        mixed: Tensor = self.mix(self.far(self.near(x_BCHW)))
        return mixed


class GatedAttention(nn.Module):
    """Gated spatiotemporal attention (gSTA): one half of a large kernel's output gates the other."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.kernel = LargeKernel(channels, 2 * channels)

    def forward(self, x_BCHW: Tensor) -> Tensor:
        """Return the gated output, (B, C, H, W)."""
        value, gate = self.kernel(x_BCHW).chunk(2, dim=1)
        gated: Tensor = value * gate.sigmoid()
        return gated


class MixedPerceptron(nn.Module):
    """Two 1 x 1 convolutions around a 3 x 3 one by channel."""

    def __init__(self, channels: int, ratio: int) -> None:
        super().__init__()
        inner = ratio * channels
        self.widen, self.narrow = nn.Conv2d(channels, inner, 1), nn.Conv2d(inner, channels, 1)
        self.mix = nn.Conv2d(inner, inner, 3, padding=1, groups=inner)

    def forward(self, x_BCHW: Tensor) -> Tensor:
        """Return the output, (B, C, H, W)."""
        narrowed: Tensor = self.narrow(nn.functional.gelu(self.mix(self.widen(x_BCHW))))
        return narrowed


class MetaBlock(nn.Module):
    """A block of attention and perceptron, each normalised, scaled and added; then to another number of channels.

    Args:
        channels: in.
        outs: out.
        attention: builds the attention of a number of channels.
        ratio: width of the perceptron by that of the block.
        drop: probability with which a sample skips a branch in training.
    """

    def __init__(
        self, channels: int, outs: int, attention: Callable[[int], nn.Module], *, ratio: int, drop: float
    ) -> None:
        super().__init__()
        self.first_norm, self.second_norm = nn.BatchNorm2d(channels), nn.BatchNorm2d(channels)
        self.before, self.after = nn.Conv2d(channels, channels, 1), nn.Conv2d(channels, channels, 1)
        self.attention, self.perceptron = attention(channels), MixedPerceptron(channels, ratio)
        self.first_scale_C = nn.Parameter(torch.full((channels,), SCALE))
        self.second_scale_C = nn.Parameter(torch.full((channels,), SCALE))
        self.reduce = nn.Conv2d(channels, outs, 1) if outs != channels else nn.Identity()
        self.drop = drop

    def forward(self, x_BCHW: Tensor) -> Tensor:
        """Return the block's output, (B, outs, H, W)."""
        y_BCHW = self.first_norm(x_BCHW)
        y_BCHW = y_BCHW + self.after(self.attention(nn.functional.gelu(self.before(y_BCHW))))
        x_BCHW = x_BCHW + self._kept(self.first_scale_C[:, None, None] * y_BCHW)
        y_BCHW = self.perceptron(self.second_norm(x_BCHW))
        x_BCHW = x_BCHW + self._kept(self.second_scale_C[:, None, None] * y_BCHW)
        reduced: Tensor = self.reduce(x_BCHW)
        return reduced

    def _kept(self, branch_BCHW: Tensor) -> Tensor:
        """Drop the branch of some samples in training, and enlarge the others by as much."""
        if not self.training or not self.drop:
            return branch_BCHW
        kept_B = torch.rand(len(branch_BCHW), device=branch_BCHW.device) >= self.drop
        return branch_BCHW * (kept_B / (1 - self.drop))[:, None, None, None].to(branch_BCHW.dtype)


class SimVPv2(DirectModel):
    """SimVP V2 (Tan et al. 2022, arXiv:2211.12509): spatial encoder, translator of gSTA blocks, spatial decoder.

    A pass returns as many frames as it takes. The defaults are the configuration whose size OpenSTL prints for Moving
    MNIST (46.8 M, 16.5 G): 64 spatial and 512 translator channels, 4 spatial layers, 8 blocks. Written from the paper.

    Args:
        in_channels: channels of a frame.
        hidden_channels: of the spatial layers, even.
        num_layers: blocks of the translator between its first and its last one.
        kernel_size: of the spatial layers, odd.
        input_steps: frames in, and out.
        translator_channels: of the blocks between the first and the last one.
        spatial_layers: of the encoder, and of the decoder; every second one halves, or doubles.
        ratio: width of the perceptrons by that of their block.
        drop_path: probability of skipping a branch in training, of the last block; it rises linearly from 0.
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
        input_steps: int = 10,
        translator_channels: int = 512,
        spatial_layers: int = 4,
        ratio: int = 8,
        drop_path: float = 0.0,
        residual: bool = False,
    ) -> None:
        require_positive(in_channels=in_channels, input_steps=input_steps, spatial_layers=spatial_layers, ratio=ratio)
        require_positive(translator_channels=translator_channels, num_layers=num_layers)
        require_odd(kernel_size=kernel_size)
        _check(hidden_channels, drop_path)
        super().__init__(
            in_channels=in_channels, input_steps=input_steps, multiple=2 ** (spatial_layers // 2), residual=residual
        )
        c, strides = hidden_channels, [1 + n % 2 for n in range(spatial_layers)]
        self.encoder = nn.ModuleList(
            ConvBlock(c if n else in_channels, c, kernel_size, stride=stride) for n, stride in enumerate(strides)
        )
        self._build_translator([input_steps * c, *[translator_channels] * (num_layers + 1)], ratio, drop_path)
        self.decoder = nn.ModuleList(ConvBlock(c, c, kernel_size, up=stride == 2) for stride in reversed(strides))
        self.head = nn.Conv2d(c, in_channels, 1)

    def _build_translator(self, widths: list[int], ratio: int, drop_path: float) -> None:
        """Build one block for each width, the last one back to the first width."""
        self.blocks = nn.ModuleList(
            MetaBlock(ins, outs, self.attention, ratio=ratio, drop=drop_path * n / (len(widths) - 1))
            for n, (ins, outs) in enumerate(pairwise([*widths, widths[0]]))
        )

    @staticmethod
    def attention(channels: int) -> nn.Module:
        """Return the attention of one block."""
        return GatedAttention(channels)

    def one_pass(self, frames_BTCHW: Tensor) -> Tensor:
        """Map `input_steps` frames to the next `input_steps` frames."""
        size_BT = frames_BTCHW.shape[:2]
        x_BCHW = first_BCHW = self._part(self.encoder[0], frames_BTCHW.flatten(0, 1))
        for layer in self.encoder[1:]:
            x_BCHW = self._part(layer, x_BCHW)
        x_BCHW = torch.unflatten(x_BCHW, 0, size_BT).flatten(1, 2)
        for block in self.blocks:
            x_BCHW = self._part(block, x_BCHW)
        x_BCHW = torch.unflatten(x_BCHW, 1, (self.input_steps, -1)).flatten(0, 1)
        for layer in self.decoder[:-1]:
            x_BCHW = self._part(layer, x_BCHW)
        x_BCHW = self._part(self.decoder[-1], x_BCHW + first_BCHW)
        return torch.unflatten(self.head(x_BCHW), 0, size_BT)


def _check(hidden_channels: int, drop_path: float) -> None:
    if hidden_channels < GROUPS or hidden_channels % GROUPS or not 0 <= drop_path < 1:
        raise InputError(
            "expected even hidden_channels and drop_path of 0 to 1, got "
            f"hidden_channels={hidden_channels}, drop_path={drop_path}"
        )
