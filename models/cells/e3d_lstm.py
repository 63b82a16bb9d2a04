"""E3D-LSTM: a spatiotemporal LSTM whose memory recalls its earlier states by attention over all of their pixels."""

from typing import ClassVar, Final

import torch
import torch.nn.functional as F
from torch import Tensor, nn, zeros_like

from models.cells.base import CELLS, MIDDLE, LayerPosition, RecurrentCell, State, Step
from models.checks import require_choice, require_odd, require_positive

RECALLED: Final = 10
"""Earlier memories that a step recalls: those of 5 frames in and 5 out are all within it."""
FORGET_BIAS: Final = 1.0
LAYOUTS: Final = ("exact", "reference")


@CELLS.register("e3d-lstm")
class E3DLSTMCell(RecurrentCell):
    """Eidetic 3D LSTM (Wang et al. 2019, ICLR, openreview B1lKS2AqtX, eqs. 2 to 6).

    State: (h_BCHW, c_BCHW, age_B), the earlier memories, the oldest first, and in the first layer the last input.

    The 3D convolutions of the paper see a window of two frames. In the public code for Moving MNIST they return one
    plane, which is copied: all layers but the first, and all states, see two equal planes. One plane with the sum of
    both weights computes the same, with half of the weights and a quarter of the attention, and is what is built here.

    Options:
        recall: memories that the attention takes into account, the present one among them.
        layout: `reference` as the public code, which cuts the rows of the attention from channels and pixels in the
            order in which they are stored, and hands on the zigzag memory M unchanged, so that it stays zero.
    """

    uses_memory: ClassVar[bool] = True

    def __init__(
        self,
        channels: int,
        kernel_size: int = 3,
        position: LayerPosition = MIDDLE,
        *,
        recall: int = RECALLED,
        layout: str = "exact",
    ) -> None:
        super().__init__(channels, kernel_size, position)
        require_positive(recall=recall)
        require_odd(kernel_size=kernel_size)
        require_choice(LAYOUTS, layout=layout)
        self.recall, self.layout = recall, layout
        frames = 2 if position.is_first else 1
        self.input_gates = _convolution(frames * channels, 7 * channels, kernel_size)
        self.state_gates = _convolution(channels, 4 * channels, kernel_size)
        self.memory_gates = _convolution(channels, 4 * channels, kernel_size)
        self.from_c, self.from_m = (_convolution(channels, channels, kernel_size) for _ in range(2))
        self.merge = _convolution(2 * channels, channels, 1)
        self.norm = nn.GroupNorm(1, channels)

    def init_state(self, x_BCHW: Tensor) -> State:
        h_BCHW, c_BCHW, none_BCHW = (zeros_like(x_BCHW) for _ in range(3))
        last = (none_BCHW,) if self.position.is_first else ()
        return h_BCHW, c_BCHW, x_BCHW.new_zeros(len(x_BCHW)), *[none_BCHW] * (self.recall - 1), *last

    def forward(self, x_BCHW: Tensor, state: State, memory_BCHW: Tensor | None) -> Step:
        h_BCHW, c_BCHW, age_B, *others = state
        memories = (*others[: self.recall - 1], c_BCHW)
        seen_BCHW = torch.cat([others[-1], x_BCHW], dim=1) if self.position.is_first else x_BCHW
        m_BCHW = zeros_like(x_BCHW) if memory_BCHW is None else memory_BCHW
        i, g, r, o, i_m, g_m, f_m = self.input_gates(seen_BCHW).chunk(7, dim=1)
        i_h, g_h, r_h, o_h = self.state_gates(h_BCHW).chunk(4, dim=1)
        recalled_BCHW = self._recalled((r + r_h).sigmoid(), memories, age_B)
        c_BCHW = self.norm(c_BCHW + recalled_BCHW) + (i + i_h).sigmoid() * (g + g_h).tanh()
        i_mm, f_mm, g_mm, m_mm = self.memory_gates(m_BCHW).chunk(4, dim=1)
        kept_BCHW = (f_m + f_mm + FORGET_BIAS).sigmoid() * m_mm.tanh()
        new_m_BCHW = kept_BCHW + (i_m + i_mm).sigmoid() * (g_m + g_mm).tanh()
        o_BCHW = (o + o_h + self.from_c(c_BCHW) + self.from_m(new_m_BCHW)).tanh().sigmoid()
        h_BCHW = self.merge(torch.cat([c_BCHW, new_m_BCHW], dim=1)).tanh() * o_BCHW
        last = (x_BCHW,) if self.position.is_first else ()
        new_state = (h_BCHW, c_BCHW, age_B + 1, *memories[1:], *last)
        return Step(h_BCHW, new_state, m_BCHW if self.layout == "reference" else new_m_BCHW)

    def _recalled(self, query_BCHW: Tensor, memories: State, age_B: Tensor) -> Tensor:
        """Return the attention of each pixel over all pixels of the memories, those before the first step left out."""
        query_BPC = self._rows(query_BCHW)
        if not torch.compiler.is_compiling():  # a compiled step would be compiled again for each number of memories
            memories = _without_the_start(memories)
        keys_BPC = torch.cat([self._rows(each) for each in memories], dim=1)
        number_N = torch.arange(len(memories) - 1, -1, -1, device=age_B.device)
        bias_BN = torch.where(number_N <= age_B[:, None], 0.0, float("-inf")).to(query_BPC.dtype)
        bias_B11P = bias_BN.repeat_interleave(query_BPC.shape[1], dim=1)[:, None, None]
        keys_B1PC = keys_BPC[:, None].to(query_BPC.dtype)
        found_B1PC = F.scaled_dot_product_attention(
            query_BPC[:, None], keys_B1PC, keys_B1PC, attn_mask=bias_B11P, scale=1.0
        )
        if self.layout == "reference":
            return found_B1PC.reshape(query_BCHW.shape)
        return torch.unflatten(found_B1PC[:, 0].transpose(1, 2), 2, query_BCHW.shape[2:])

    def _rows(self, x_BCHW: Tensor) -> Tensor:
        """Return one row for each pixel, (B, pixels, C)."""
        if self.layout == "reference":
            return x_BCHW.reshape(x_BCHW.shape[0], -1, x_BCHW.shape[1])
        return x_BCHW.flatten(2).transpose(1, 2)


def _without_the_start(memories: State) -> State:
    """Leave out memories from before the first step where they are recognised: as one object that is there twice."""
    count = sum(each is memories[0] for each in memories)
    return memories[count:] if count > 1 else memories


def _convolution(in_channels: int, channels: int, kernel_size: int) -> nn.Conv2d:
    return nn.Conv2d(in_channels, channels, kernel_size, padding=kernel_size // 2, bias=False)
