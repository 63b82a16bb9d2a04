"""CMS-LSTM and MoDeRNN: input and hidden state scale each other before a ConvLSTM."""

from collections.abc import Callable
from typing import Final

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from tests.reference.cell import CELLS, Step, conv
from tests.reference.cells_lstm import ConvLSTM

ROUNDS: Final = 5
SCALES: Final = (1, 2, 4)
FAR_BELOW: Final = -1e30

Map = Callable[[Tensor], Tensor]


def in_context(x_BCHW: Tensor, h_BCHW: Tensor, from_h: Map, from_x: Map) -> tuple[Tensor, Tensor]:
    """Scale alternately x from h and h from x: x, h, x, h, x."""
    for turn in range(ROUNDS):
        if turn % 2 == 0:
            x_BCHW = 2 * torch.sigmoid(from_h(h_BCHW)) * x_BCHW
        else:
            h_BCHW = 2 * torch.sigmoid(from_x(x_BCHW)) * h_BCHW
    return x_BCHW, h_BCHW


class BlockAttention(nn.Module):
    """Attention inside each of scale x scale blocks of two adjacent maps, with the whole map of weights; adds x."""

    def __init__(self, channels: int, scale: int) -> None:
        super().__init__()
        self.scale = scale
        self.query = conv(channels, channels, 1)
        self.key = conv(channels, channels, 1)
        self.value = conv(channels, channels, 1)

    def forward(self, x_BCHW: Tensor) -> Tensor:
        """Return maps of shape (B, C, H, 2 W); if the scale does not divide H or W, the rest of a block is excluded."""
        q, k, v = (self._blocks(part(x_BCHW)) for part in (self.query, self.key, self.value))
        logits_BNPP = q @ k.transpose(2, 3)
        height, width = x_BCHW.shape[2], x_BCHW.shape[3] // 2
        if height % self.scale or width % self.scale:
            inside_BNPC = self._blocks(torch.ones_like(x_BCHW[:1, :1]))
            logits_BNPP = logits_BNPP.masked_fill(inside_BNPC.transpose(2, 3) == 0, FAR_BELOW)
        return x_BCHW + self._maps(torch.softmax(logits_BNPP, dim=3) @ v, height, width)

    def _blocks(self, x_BCHW: Tensor) -> Tensor:
        """Return (B, block, pixel of both maps, C)."""
        maps = torch.stack(x_BCHW.chunk(2, dim=3), dim=4)
        maps = F.pad(maps, (0, 0, 0, -maps.shape[3] % self.scale, 0, -maps.shape[2] % self.scale))
        batch, channels, height, width, _ = maps.shape
        rows, columns = height // self.scale, width // self.scale
        blocks = maps.reshape(batch, channels, self.scale, rows, self.scale, columns, 2).permute(0, 2, 4, 3, 5, 6, 1)
        return blocks.reshape(batch, self.scale**2, rows * columns * 2, channels)

    def _maps(self, y_BNPC: Tensor, height: int, width: int) -> Tensor:
        """Invert `_blocks`, cut to size."""
        batch, channels = y_BNPC.shape[0], y_BNPC.shape[3]
        rows, columns = -(-height // self.scale), -(-width // self.scale)
        blocks = y_BNPC.reshape(batch, self.scale, self.scale, rows, columns, 2, channels).permute(0, 6, 5, 1, 3, 2, 4)
        maps = blocks.reshape(batch, channels, 2, self.scale * rows, self.scale * columns)[..., :height, :width]
        return torch.cat(maps.unbind(dim=2), dim=3)


class Expression(nn.Module):
    """CMS-LSTM's multi-scale spatiotemporal expression block: rewrites h and c."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.scales = nn.ModuleList(BlockAttention(channels, scale) for scale in SCALES)
        self.join = conv(len(SCALES) * channels, channels)
        self.merge = conv(2 * channels, channels, 1)
        self.gates_h = conv(channels, 3 * channels)
        self.gates_z = conv(channels, 3 * channels)

    def forward(self, h_BCHW: Tensor, c_BCHW: Tensor) -> tuple[Tensor, Tensor]:
        """Return the new h and c."""
        pair_BCHW = torch.cat([h_BCHW, c_BCHW], dim=3)
        joined_BCHW = self.join(torch.cat([attention(pair_BCHW) for attention in self.scales], dim=1))
        z_BCHW = self.merge(torch.cat(joined_BCHW.chunk(2, dim=3), dim=1))
        i, g, o = (self.gates_h(h_BCHW) + self.gates_z(z_BCHW)).chunk(3, dim=1)
        i = torch.sigmoid(i)
        c_BCHW = (1 - i) * c_BCHW + i * torch.tanh(g)
        return c_BCHW * torch.sigmoid(o), c_BCHW


@CELLS.register("cms-lstm")
class CMSLSTM(ConvLSTM):
    """Chai et al. 2021, arXiv:2102.03586; state: h, c."""

    def __init__(self, channels: int, layer: int, num_layers: int) -> None:
        super().__init__(channels, layer, num_layers)
        self.from_h = conv(channels, channels)
        self.from_x = conv(channels, channels)
        self.expression = Expression(channels)

    def forward(self, x_BCHW: Tensor, state: tuple[Tensor, ...]) -> Step:
        """Advance by one time step."""
        h_BCHW, c_BCHW = state
        x_BCHW, h_BCHW = in_context(x_BCHW, h_BCHW, self.from_h, self.from_x)
        h_BCHW, c_BCHW = self.expression(*super().forward(x_BCHW, (h_BCHW, c_BCHW)).state)
        return Step(h_BCHW, (h_BCHW, c_BCHW))


@CELLS.register("modernn")
class MoDeRNN(ConvLSTM):
    """Chai et al. 2021, arXiv:2110.12978; state: h, c. The mean of three convolutions scales each side."""

    def __init__(self, channels: int, layer: int, num_layers: int) -> None:
        super().__init__(channels, layer, num_layers)
        self.from_h_3, self.from_h_5, self.from_h_7 = (conv(channels, channels, kernel) for kernel in (3, 5, 7))
        self.from_x_3, self.from_x_5, self.from_x_7 = (conv(channels, channels, kernel) for kernel in (3, 5, 7))

    def forward(self, x_BCHW: Tensor, state: tuple[Tensor, ...]) -> Step:
        """Advance by one time step."""
        h_BCHW, c_BCHW = state
        x_BCHW, h_BCHW = in_context(x_BCHW, h_BCHW, self._mean_h, self._mean_x)
        return super().forward(x_BCHW, (h_BCHW, c_BCHW))

    def _mean_h(self, h_BCHW: Tensor) -> Tensor:
        mean_BCHW: Tensor = (self.from_h_3(h_BCHW) + self.from_h_5(h_BCHW) + self.from_h_7(h_BCHW)) / 3
        return mean_BCHW

    def _mean_x(self, x_BCHW: Tensor) -> Tensor:
        mean_BCHW: Tensor = (self.from_x_3(x_BCHW) + self.from_x_5(x_BCHW) + self.from_x_7(x_BCHW)) / 3
        return mean_BCHW
