"""Input and hidden state that scale each other before a cell's gates: what CMS-LSTM and MoDeRNN have in common."""

from collections.abc import Callable
from typing import Final

from torch import Tensor

from models.cells.gates import scaled

ROUNDS: Final = 5


def in_context(
    x_BCHW: Tensor, h_BCHW: Tensor, from_h: Callable[[Tensor], Tensor], from_x: Callable[[Tensor], Tensor]
) -> tuple[Tensor, Tensor]:
    """Scale x by 2 sigmoid(from_h(h)) and h by 2 sigmoid(from_x(x)), by turns: x, h, x, h, x."""
    for turn in range(ROUNDS):
        if turn % 2 == 0:
            x_BCHW = scaled(from_h(h_BCHW), x_BCHW)
        else:
            h_BCHW = scaled(from_x(x_BCHW), h_BCHW)
    return x_BCHW, h_BCHW
