"""SimVP: convolutions alone, over space in every frame and over time in between."""

from collections.abc import Iterator

import torch
from torch import Tensor, nn

from core.errors import InputError
from models.checks import require_positive
from models.direct import DirectModel

SLOPE = 0.2


class SpatialLayer(nn.Module):
    """Convolution, group normalisation (two groups), LeakyReLU; `stride` 2 halves the size, or doubles it with `up`."""

    def __init__(self, in_channels: int, channels: int, kernel_size: int, *, stride: int, up: bool = False) -> None:
        super().__init__()
        padding = kernel_size // 2
        self.conv: nn.Module = (
            nn.ConvTranspose2d(in_channels, channels, kernel_size, stride, padding, output_padding=1)
            if up and stride == 2
            else nn.Conv2d(in_channels, channels, kernel_size, stride, padding)
        )
        self.norm = nn.GroupNorm(2, channels)
        self.act = nn.LeakyReLU(SLOPE)

    def forward(self, x_BCHW: Tensor) -> Tensor:
        """Return the output of this layer."""
        y_BCHW: Tensor = self.act(self.norm(self.conv(x_BCHW)))
        return y_BCHW


class Inception(nn.Module):
    """A 1x1 bottleneck, then parallel grouped convolutions of several sizes, whose outputs are added."""

    def __init__(self, in_channels: int, middle: int, channels: int, kernel_sizes: tuple[int, ...], groups: int):
        super().__init__()
        self.reduce = nn.Conv2d(in_channels, middle, 1)
        self.branches = nn.ModuleList(
            nn.Sequential(
                nn.Conv2d(middle, channels, size, padding=size // 2, groups=groups),
                nn.GroupNorm(groups, channels),
                nn.LeakyReLU(SLOPE),
            )
            for size in kernel_sizes
        )

    def forward(self, *inputs_BCHW: Tensor) -> Tensor:
        """Return the mixture of the inputs, joined along the channels."""
        x_BCHW = self.reduce(torch.cat(inputs_BCHW, dim=1))
        return torch.stack([branch(x_BCHW) for branch in self.branches]).sum(dim=0)


class SimVP(DirectModel):
    """SimVP (Gao et al. 2022, CVPR, arXiv:2206.05099, section 4): encoder, Inception-UNet translator, decoder.

    A pass returns as many frames as it takes. The defaults are the configuration whose parameters and cost the MS-RNN
    paper prints in Table 5 (43.2 M, 68.5 G): hid_S 64, hid_T 512, N_S 4, N_T 3, 4 groups.

    Args:
        in_channels: channels of a frame.
        hidden_channels: of the spatial layers (the paper's hid_S).
        num_layers: Inception modules of the translator, even: half go down, half come up with skips (twice its N_T).
        kernel_size: of the spatial layers.
        input_steps: frames in, and out.
        translator_channels: its hid_T.
        spatial_layers: of the encoder, and of the decoder (its N_S); every second one halves, or doubles.
        kernel_sizes: of the Inception modules.
        groups: of their convolutions and normalisations.
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
        kernel_sizes: tuple[int, ...] = (3, 5, 7, 11),
        groups: int = 4,
        residual: bool = False,
    ) -> None:
        require_positive(in_channels=in_channels, input_steps=input_steps, spatial_layers=spatial_layers, groups=groups)
        _check(hidden_channels, num_layers, (kernel_size, *kernel_sizes), input_steps, translator_channels, groups)
        super().__init__(
            in_channels=in_channels, input_steps=input_steps, multiple=2 ** (spatial_layers // 2), residual=residual
        )
        c, strides = hidden_channels, [1 + n % 2 for n in range(spatial_layers)]
        self.encoder = nn.ModuleList(
            SpatialLayer(c if n else in_channels, c, kernel_size, stride=stride) for n, stride in enumerate(strides)
        )
        self._build_translator(num_layers // 2, input_steps * c, translator_channels, tuple(kernel_sizes), groups)
        self.decoder = nn.ModuleList(
            SpatialLayer(c if n else 2 * c, c, kernel_size, stride=strides[n], up=True)
            for n in reversed(range(spatial_layers))
        )
        self.head = nn.Conv2d(c, in_channels, 1)

    def _build_translator(self, depth: int, outer: int, inner: int, kernel_sizes: tuple[int, ...], groups: int) -> None:
        self.down, self.up = nn.ModuleList(), nn.ModuleList()
        for ins, outs, modules in _translator(depth, outer, inner, self.down, self.up):
            modules.append(Inception(ins, inner // 2, outs, kernel_sizes, groups))

    def one_pass(self, frames_BTCHW: Tensor) -> Tensor:
        """Map `input_steps` frames to the next `input_steps` frames."""
        size_BT = frames_BTCHW.shape[:2]
        x_BCHW = first_BCHW = self._part(self.encoder[0], frames_BTCHW.flatten(0, 1))
        for layer in self.encoder[1:]:
            x_BCHW = self._part(layer, x_BCHW)
        x_BCHW = self._translated(torch.unflatten(x_BCHW, 0, size_BT).flatten(1, 2))
        x_BCHW = torch.unflatten(x_BCHW, 1, (self.input_steps, -1)).flatten(0, 1)
        for layer in self.decoder[:-1]:
            x_BCHW = self._part(layer, x_BCHW)
        x_BCHW = self._part(self.decoder[-1], torch.cat([x_BCHW, first_BCHW], dim=1))
        return torch.unflatten(self.head(x_BCHW), 0, size_BT)

    def _translated(self, x_BCHW: Tensor) -> Tensor:
        skips: list[Tensor] = []
        for module in self.down:
            x_BCHW = self._part(module, x_BCHW)
            skips.append(x_BCHW)
        skips.pop()
        for n, module in enumerate(self.up):
            x_BCHW = self._part(module, x_BCHW, *([skips.pop()] if n else []))
        return x_BCHW


def _translator(
    depth: int, outer: int, inner: int, down: nn.ModuleList, up: nn.ModuleList
) -> Iterator[tuple[int, int, nn.ModuleList]]:
    """Yield channels in and out of every Inception module, and the list that it belongs to."""
    for n in range(depth):
        yield inner if n else outer, inner, down
    for n in range(depth):
        yield (2 if n else 1) * inner, outer if n == depth - 1 else inner, up


def _check(
    hidden: int, num_layers: int, kernel_sizes: tuple[int, ...], input_steps: int, translator: int, groups: int
) -> None:
    if num_layers < 2 or num_layers % 2:
        raise InputError(f"num_layers of simvp: expected an even number, half down and half up, got {num_layers}")
    if any(size < 1 or size % 2 == 0 for size in kernel_sizes):
        raise InputError(f"kernel sizes of simvp: expected odd numbers, got {kernel_sizes}")
    if (
        hidden < 2
        or hidden % 2
        or translator < 2 * groups
        or translator % (2 * groups)
        or input_steps * hidden % groups
    ):
        raise InputError(
            "simvp: expected even hidden_channels, and groups that divide half of translator_channels and input_steps "
            f"times hidden_channels; got hidden_channels={hidden}, translator_channels={translator}, "
            f"input_steps={input_steps}, groups={groups}"
        )
