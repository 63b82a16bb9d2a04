"""CMS-LSTM: ConvLSTM between a context embedding and a multi-scale attention over hidden state and memory."""

from typing import Final

import torch.nn.functional as F
from torch import Tensor, cat, nn, ones

from models.cells.base import CELLS, MIDDLE, JointConv2d, LayerPosition, State, Step
from models.cells.convlstm import ConvLSTMCell
from models.cells.gates import ROUNDS, in_context
from models.checks import require_positive

SCALES: Final = (1, 2, 4)


class BlockAttention(nn.Module):
    """Self-attention inside each of `scale` x `scale` blocks of two maps, placed next to each other; adds its input.

    A block holds its part of both maps. If a side is not a multiple of the scale, the field is padded on the right and
    below; padded pixels are excluded from the keys and are cut off the result.
    """

    def __init__(self, channels: int, scale: int) -> None:
        super().__init__()
        self.scale = scale
        self.query = nn.Conv2d(channels, channels, 1)
        self.key = nn.Conv2d(channels, channels, 1)
        self.value = nn.Conv2d(channels, channels, 1)

    def forward(self, pair_BCHW: Tensor) -> Tensor:
        """Return a pair of maps of the shape of the input, (B, C, H, 2 W)."""
        height, width = pair_BCHW.shape[2], pair_BCHW.shape[3] // 2
        q_BNPC, k_BNPC, v_BNPC = (self._blocks(part(pair_BCHW)) for part in (self.query, self.key, self.value))
        y_BNPC = F.scaled_dot_product_attention(q_BNPC, k_BNPC, v_BNPC, attn_mask=self._keys(pair_BCHW), scale=1.0)
        rows, columns = -(-height // self.scale), -(-width // self.scale)
        y = y_BNPC.reshape(-1, self.scale, self.scale, rows, 2, columns, self.query.out_channels)
        y = y.permute(0, 6, 1, 3, 4, 2, 5).flatten(5).flatten(2, 3)
        return pair_BCHW + y[:, :, :height, :, :width].flatten(3)

    def _blocks(self, pair_BCHW: Tensor) -> Tensor:
        """Return (B, block, pixel, C); the pixels of a block are ordered by row, map, column."""
        batch, channels, height, width = pair_BCHW.shape
        x = pair_BCHW.reshape(batch, channels, height, 2, width // 2)
        x = F.pad(x, (0, -x.shape[4] % self.scale, 0, 0, 0, -height % self.scale))
        rows, columns = x.shape[2] // self.scale, x.shape[4] // self.scale
        x = x.reshape(batch, channels, self.scale, rows, 2, self.scale, columns)
        blocks_BNPC = x.permute(0, 2, 5, 3, 4, 6, 1).flatten(3, 5).flatten(1, 2)
        return blocks_BNPC.contiguous()  # without it PyTorch's attention saves its whole map

    def _keys(self, pair_BCHW: Tensor) -> Tensor | None:
        """Return which pixels of each block are keys, (1, block, 1, pixel); None if all are."""
        height, width = pair_BCHW.shape[2], pair_BCHW.shape[3] // 2
        if height % self.scale == width % self.scale == 0:
            return None
        inside = self._blocks(ones(1, 1, height, 2 * width, device=pair_BCHW.device)).mT > 0
        return inside | ~inside.any(dim=3, keepdim=True)  # a block without pixels gets any finite value: it is cut off


class Expression(nn.Module):
    """The multi-scale spatiotemporal expression block: attention over (h, c) at three scales rewrites both."""

    def __init__(self, channels: int, kernel_size: int) -> None:
        super().__init__()
        self.scales = nn.ModuleList(BlockAttention(channels, scale) for scale in SCALES)
        self.join = nn.Conv2d(len(SCALES) * channels, channels, kernel_size, padding=kernel_size // 2)
        self.merge = nn.Conv2d(2 * channels, channels, 1)
        self.gates = JointConv2d((channels, channels), 3 * channels, kernel_size)

    def forward(self, h_BCHW: Tensor, c_BCHW: Tensor) -> tuple[Tensor, Tensor]:
        """Return the new hidden state h and cell state c."""
        pair_BCHW = cat([h_BCHW, c_BCHW], dim=3)
        joined_BCHW = self.join(cat([attention(pair_BCHW) for attention in self.scales], dim=1))
        z_BCHW = self.merge(cat(joined_BCHW.chunk(2, dim=3), dim=1))
        i, g, o = self.gates(h_BCHW, z_BCHW).chunk(3, dim=1)
        switch_BCHW = i.sigmoid()
        c_BCHW = (1 - switch_BCHW) * c_BCHW + switch_BCHW * g.tanh()
        return c_BCHW * o.sigmoid(), c_BCHW


@CELLS.register("cms-lstm")
class CMSLSTMCell(ConvLSTMCell):
    """CMS-LSTM (Chai et al. 2021, arXiv:2102.03586); state: (h_BCHW, c_BCHW).

    Context embedding, then ConvLSTM, then the expression block. Option `rounds`: iterations of the embedding.
    """

    def __init__(
        self, channels: int, kernel_size: int = 3, position: LayerPosition = MIDDLE, *, rounds: int = ROUNDS
    ) -> None:
        super().__init__(channels, kernel_size, position)
        require_positive(rounds=rounds)
        self.rounds = rounds
        self.from_h = nn.Conv2d(channels, channels, kernel_size, padding=kernel_size // 2)
        self.from_x = nn.Conv2d(channels, channels, kernel_size, padding=kernel_size // 2)
        self.expression = Expression(channels, kernel_size)

    @property
    def reach(self) -> int | None:
        return None  # attention over the field

    def forward(self, x_BCHW: Tensor, state: State, memory_BCHW: Tensor | None) -> Step:
        h_BCHW, c_BCHW = state
        x_BCHW, h_BCHW = in_context(x_BCHW, h_BCHW, self.from_h, self.from_x, self.rounds)
        gated = super().forward(x_BCHW, (h_BCHW, c_BCHW), memory_BCHW)
        h_BCHW, c_BCHW = self.expression(*gated.state)
        return Step(h_BCHW, (h_BCHW, c_BCHW), memory_BCHW)
