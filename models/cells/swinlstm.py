"""SwinLSTM: a recurrent cell whose gates come from attention within shifted windows instead of convolutions."""

from collections.abc import Sequence
from typing import Final

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from core.errors import InputError
from models.cells.base import CELLS, MIDDLE, LayerPosition, RecurrentCell, State, Step
from models.checks import require_positive

WINDOW_EDGE: Final = 4
"""Edge of the windows in cells, as in the paper's configuration for Moving MNIST."""
RATIO: Final = 4
"""Width of the perceptron by that of the block."""


class WindowAttention(nn.Module):
    """Attention with several heads within windows, each pair of places with a bias by their distance (Liu et al. 2021).

    Sides that are no multiple of the window are filled up below and on the right; what is filled up is attended by
    nothing else. A shifted block moves its windows by half of their edge; parts of a window that do not touch in the
    field do not see each other.
    """

    def __init__(self, channels: int, heads: int, window: int, *, shifted: bool) -> None:
        super().__init__()
        self.heads, self.window, self.shift = heads, window, window // 2 if shifted else 0
        self.bias_NH = nn.Parameter(0.02 * torch.randn((2 * window - 1) ** 2, heads))
        self.pack = nn.Linear(channels, 3 * channels)
        self.mix = nn.Linear(channels, channels)

    def forward(self, x_BHWC: Tensor) -> Tensor:
        """Return the attended field, (B, H, W, C)."""
        height, width = x_BHWC.shape[1:3]
        whole_BHWC = F.pad(x_BHWC, (0, 0, 0, -width % self.window, 0, -height % self.window))
        size = whole_BHWC.shape[1:3]
        shifts = [self.shift if edge > self.window else 0 for edge in size]
        rolled_BHWC = whole_BHWC.roll([-shift for shift in shifts], dims=(1, 2)) if any(shifts) else whole_BHWC
        queries, keys, values = self._in_heads(self.pack(_windows(rolled_BHWC, self.window)))
        bias_NHQK = self.bias_NH[_distances(self.window, x_BHWC.device)].permute(2, 0, 1)[None]
        if any(shifts) or size != x_BHWC.shape[1:3]:
            mask_NQK = _apart((height, width), shifts, self.window, x_BHWC.device).repeat(len(x_BHWC), 1, 1)
            bias_NHQK = bias_NHQK + mask_NQK[:, None].to(bias_NHQK.dtype)
        attended = F.scaled_dot_product_attention(queries, keys, values, attn_mask=bias_NHQK.to(queries.dtype))
        y_BHWC = _joined_windows(self.mix(attended.transpose(1, 2).flatten(2)), self.window, size)
        return (y_BHWC.roll(shifts, dims=(1, 2)) if any(shifts) else y_BHWC)[:, :height, :width]

    def _in_heads(self, packed_NPC: Tensor) -> tuple[Tensor, ...]:
        """Return queries, keys and values, each (windows, heads, places, channels of a head)."""
        return torch.unflatten(packed_NPC, 2, (3, self.heads, -1)).permute(2, 0, 3, 1, 4).unbind()


class SwinBlock(nn.Module):
    """A Swin transformer block; with `joins` it takes a second field, which a linear layer merges with the first."""

    def __init__(self, channels: int, heads: int, window: int, *, shifted: bool, joins: bool) -> None:
        super().__init__()
        self.first_norm, self.second_norm = nn.LayerNorm(channels), nn.LayerNorm(channels)
        self.join = nn.Linear(2 * channels, channels) if joins else None
        self.attention = WindowAttention(channels, heads, window, shifted=shifted)
        self.widen, self.narrow = nn.Linear(channels, RATIO * channels), nn.Linear(RATIO * channels, channels)

    def forward(self, x_BHWC: Tensor, other_BHWC: Tensor) -> Tensor:
        """Return the block's output, (B, H, W, C); a block that does not join leaves the second field out."""
        y_BHWC = self.first_norm(x_BHWC)
        if self.join is not None:
            y_BHWC = self.join(torch.cat([y_BHWC, self.first_norm(other_BHWC)], dim=3))
        x_BHWC = x_BHWC + self.attention(y_BHWC)
        narrowed: Tensor = self.narrow(F.gelu(self.widen(self.second_norm(x_BHWC))))
        return x_BHWC + narrowed


@CELLS.register("swinlstm")
class SwinLSTMCell(RecurrentCell):
    """SwinLSTM (Tang et al. 2023, ICCV, arXiv:2308.09891, eqs. 5 to 8); state: (h_BCHW, c_BCHW).

    Its blocks take turns: the first merges the input with h, every second one has shifted windows, every later odd one
    merges with the input again. One gate is both forget, input and output gate. Without stochastic depth. It has no
    convolution: the number of cells that a step sees is set by `window`. Options: `depth` blocks, `heads` of the
    attention, `window`, the edge of its windows.
    """

    def __init__(
        self,
        channels: int,
        kernel_size: int = 3,
        position: LayerPosition = MIDDLE,
        *,
        depth: int = 2,
        heads: int = 4,
        window: int = WINDOW_EDGE,
    ) -> None:
        super().__init__(channels, kernel_size, position)
        require_positive(depth=depth, heads=heads, window=window)
        if kernel_size != 3 or channels % heads:
            raise InputError(
                "swinlstm: expected channels that are a multiple of its heads, and kernel_size=3 (it has no "
                f"convolution), got channels={channels}, heads={heads}, kernel_size={kernel_size}"
            )
        self.blocks = nn.ModuleList(
            SwinBlock(channels, heads, window, shifted=n % 2 == 1, joins=n % 2 == 0) for n in range(depth)
        )

    def forward(self, x_BCHW: Tensor, state: State, memory_BCHW: Tensor | None) -> Step:
        h_BCHW, c_BCHW = state
        x_BHWC = y_BHWC = x_BCHW.permute(0, 2, 3, 1)
        for n, block in enumerate(self.blocks):
            y_BHWC = block(y_BHWC, x_BHWC if n else h_BCHW.permute(0, 2, 3, 1))
        o_BCHW = y_BHWC.permute(0, 3, 1, 2)
        gate_BCHW = o_BCHW.sigmoid()
        c_BCHW = gate_BCHW * (c_BCHW + o_BCHW.tanh())
        h_BCHW = gate_BCHW * c_BCHW.tanh()
        return Step(h_BCHW, (h_BCHW, c_BCHW), memory_BCHW)


def _windows(x_BHWC: Tensor, window: int) -> Tensor:
    """Cut a field into windows: (B windows, places, C)."""
    batch, height, width, channels = x_BHWC.shape
    cut = x_BHWC.reshape(batch, height // window, window, width // window, window, channels)
    return cut.transpose(2, 3).reshape(-1, window**2, channels)


def _joined_windows(x_NPC: Tensor, window: int, size: torch.Size) -> Tensor:
    """Return the field of windows: the inverse of `_windows`."""
    rows, columns = size[0] // window, size[1] // window
    cut = x_NPC.reshape(-1, rows, columns, window, window, x_NPC.shape[2])
    return cut.transpose(2, 3).reshape(-1, *size, x_NPC.shape[2])


def _distances(window: int, device: torch.device) -> Tensor:
    """Return the row of the table of biases for each pair of places in a window, (places, places)."""
    edge = torch.arange(window, device=device)
    steps = edge[:, None] - edge[None, :] + window - 1
    both = steps[:, None, :, None] * (2 * window - 1) + steps[None, :, None, :]
    return both.reshape(window**2, window**2)


def _apart(size: tuple[int, int], shifts: Sequence[int], window: int, device: torch.device) -> Tensor:
    """Return 0 for places of a window that touch in the field, minus infinity for others: (windows, places, places)."""
    parts = []
    for edge, shift in zip(size, shifts, strict=True):
        place = torch.arange(edge + -edge % window, device=device)
        beyond = (place + shift) % len(place) >= edge
        parts.append(2 * beyond.int() + (place >= len(place) - shift).int())
    part_HW = 4 * parts[0][:, None] + parts[1][None, :]
    part_NP = _windows(part_HW[None, :, :, None], window)[..., 0]
    return torch.where(part_NP[:, :, None] == part_NP[:, None, :], 0.0, float("-inf"))
