"""The one stack: any cell, flat or multi-scale, any number of layers, any size.

A multi-scale stack runs layer l at level min(l, N-1-l): each level halves the resolution (max-pool down, bilinear up),
so six layers work at 1, 1/2, 1/4, 1/4, 1/2, 1 (MS-RNN paper, section 4.1). The zigzag memory M is resampled with the
data, without skips, and leaves the last layer at full resolution, where the next time step takes it up.
"""

from typing import NamedTuple, cast

import torch.nn.functional as F
from torch import Tensor, nn

from core.errors import InputError
from models.cells.base import CELLS, RecurrentCell, State
from models.skips import SKIPS


class StackState(NamedTuple):
    """What a stack carries from one time step to the next."""

    layers: tuple[State, ...]
    memory_BCHW: Tensor | None


class RecurrentStack(nn.Module):
    """N layers of one kind of cell.

    Args:
        cell: name of a registered cell.
        channels: of every layer.
        num_layers: at least 1.
        kernel_size: of the cell's convolutions, odd.
        multiscale: whether the inner layers run at lower resolution.
        skip: none, unet, unet3+ or full; None is `unet` for a multi-scale stack and `none` for a flat one.
    """

    def __init__(
        self, cell: str, channels: int, *, num_layers: int, kernel_size: int, multiscale: bool, skip: str | None
    ) -> None:
        super().__init__()
        if num_layers < 1 or channels < 1 or kernel_size < 1 or kernel_size % 2 == 0:
            raise InputError(
                f"{num_layers} layers of {channels} channels, kernel {kernel_size}; positive numbers and an odd kernel "
                "were due"
            )
        cell_class = CELLS.get(cell)
        self.levels = tuple(min(n, num_layers - 1 - n) if multiscale else 0 for n in range(num_layers))
        connect = SKIPS.get(skip or ("unet" if multiscale else "none"))
        self.skips = tuple(tuple(connect(n, self.levels)) for n in range(num_layers))
        self.cells = nn.ModuleList(cell_class(channels, kernel_size) for _ in range(num_layers))
        self.uses_memory = cell_class.uses_memory

    def forward(self, x_BCHW: Tensor, state: StackState | None = None) -> tuple[Tensor, StackState]:
        """One time step of all layers.

        Returns:
            The last layer's output at full resolution, and the state for the next step.

        Raises:
            InputError: the field is too small to be halved that often.
        """
        sizes = self._sizes(x_BCHW)
        memory_BCHW = state.memory_BCHW if state is not None else None
        outputs: list[Tensor] = []
        states: list[State] = []
        for n, module in enumerate(self.cells):
            cell = cast(RecurrentCell, module)
            if n > 0:
                x_BCHW = resample(outputs[-1], sizes[n])
                for source in self.skips[n]:
                    x_BCHW = x_BCHW + resample(outputs[source], sizes[n])
                memory_BCHW = None if memory_BCHW is None else resample(memory_BCHW, sizes[n])
            step = cell(x_BCHW, state.layers[n] if state is not None else cell.init_state(x_BCHW), memory_BCHW)
            outputs.append(step.y_BCHW)
            states.append(step.state)
            memory_BCHW = step.memory_BCHW
        return outputs[-1], StackState(tuple(states), memory_BCHW)

    def _sizes(self, x_BCHW: Tensor) -> list[tuple[int, int]]:
        height, width = x_BCHW.shape[-2:]
        needed = 2 ** max(self.levels)
        if min(height, width) < needed:
            raise InputError(f"field of {height} x {width}; this stack needs at least {needed} x {needed}")
        return [(height >> level, width >> level) for level in self.levels]


def resample(x_BCHW: Tensor, size: tuple[int, int]) -> Tensor:
    """Max-pool down or bilinear up to a size; the same size is returned as it is.

    Going down, the window is the power of two between the levels, so that odd sizes lose their last row or column;
    going up, the exact size of the finer level is restored.
    """
    height, width = x_BCHW.shape[-2:]
    if (height, width) == size:
        return x_BCHW
    if size[0] <= height and size[1] <= width:
        window = 1 << max((height // size[0]).bit_length(), (width // size[1]).bit_length()) - 1
        return F.max_pool2d(x_BCHW, window)
    return F.interpolate(x_BCHW, size=size, mode="bilinear", align_corners=False)
