"""MoDeRNN: a detail context block followed by a ConvLSTM."""

from typing import Final

import torch.nn.functional as F
from torch import Tensor, nn, stack

from models.cells.base import CELLS, MIDDLE, LayerPosition, State, Step
from models.cells.convlstm import ConvLSTMCell
from models.cells.gates import ROUNDS, in_context
from models.checks import require_positive

KERNELS: Final = (3, 5, 7)


class MeanConv2d(nn.Module):
    """Mean of convolutions with kernels 3, 5 and 7, each with its own weight and bias, computed as one with kernel 7.

    A smaller kernel is the largest one with zeros around it, so the sum costs 49 taps instead of 83.
    """

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.parts = nn.ModuleList(nn.Conv2d(channels, channels, kernel) for kernel in KERNELS)

    def forward(self, x_BCHW: Tensor) -> Tensor:
        """Return the mean; size and number of channels are those of the input."""
        weight, bias = self._mean()
        return F.conv2d(x_BCHW, weight, bias, padding=KERNELS[-1] // 2)

    def merged(self) -> nn.Conv2d:
        """Return the same layer as one plain convolution, for a model that is not trained further."""
        weight, bias = self._mean()
        conv = nn.Conv2d(weight.shape[1], weight.shape[0], KERNELS[-1], padding=KERNELS[-1] // 2)
        conv.load_state_dict({"weight": weight, "bias": bias})
        return conv.to(weight)

    def _mean(self) -> tuple[Tensor, Tensor]:
        largest = KERNELS[-1]
        weight = stack(
            [
                F.pad(part.get_parameter("weight"), [(largest - kernel) // 2] * 4)
                for part, kernel in zip(self.parts, KERNELS, strict=True)
            ]
        ).mean(dim=0)
        return weight, stack([part.get_parameter("bias") for part in self.parts]).mean(dim=0)


@CELLS.register("modernn")
class MoDeRNNCell(ConvLSTMCell):
    """MoDeRNN (Chai et al. 2021, arXiv:2110.12978); state: (h_BCHW, c_BCHW): detail context block, then ConvLSTM.

    Option `rounds`: iterations of the context block (the paper: 5); both its parts have parameters from 2 on.
    """

    def __init__(
        self, channels: int, kernel_size: int = 3, position: LayerPosition = MIDDLE, *, rounds: int = ROUNDS
    ) -> None:
        super().__init__(channels, kernel_size, position)
        require_positive(rounds=rounds)
        self.rounds = rounds
        self.from_h = MeanConv2d(channels)
        self.from_x = MeanConv2d(channels)

    @property
    def reach(self) -> int | None:
        return self.rounds * (KERNELS[-1] // 2) + self.kernel_size // 2

    def forward(self, x_BCHW: Tensor, state: State, memory_BCHW: Tensor | None) -> Step:
        h_BCHW, c_BCHW = state
        x_BCHW, h_BCHW = in_context(x_BCHW, h_BCHW, self.from_h, self.from_x, self.rounds)
        return super().forward(x_BCHW, (h_BCHW, c_BCHW), memory_BCHW)
