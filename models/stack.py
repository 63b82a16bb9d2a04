"""The stack of layers: any cell, flat or multi-scale, any number of layers, any size.

A multi-scale stack runs layer l at level min(l, N-1-l): each level halves the resolution (max-pool down, bilinear up),
so six layers work at 1, 1/2, 1/4, 1/4, 1/2, 1 (MS-RNN paper, section 4.1). The zigzag memory M is resampled with the
data, without skips, and leaves the last layer at full resolution, where the next time step takes it up.
"""

from collections.abc import Mapping
from types import MappingProxyType
from typing import Any, Final, NamedTuple, cast

import torch
import torch.nn.functional as F
from torch import Tensor, nn, stack
from torch.autograd.function import once_differentiable

from core.errors import InputError
from models.bands import advanced
from models.cells.base import CELLS, LayerPosition, RecurrentCell, State, Step
from models.skips import SKIPS

NO_OPTIONS: Final[Mapping[str, Any]] = MappingProxyType({})


class StackState(NamedTuple):
    """State of a stack between two time steps."""

    layers: tuple[State, ...]
    memory_BCHW: Tensor | None
    outputs: tuple[Tensor, ...] = ()


class RecurrentStack(nn.Module):
    """N layers of the same kind of cell.

    Args:
        cell: name of a registered cell.
        channels: of every layer.
        num_layers: at least 1.
        kernel_size: of the cell's convolutions, odd.
        multiscale: whether the inner layers run at lower resolution.
        skip: none, unet, unet3+ or full; None is `unet` for a multi-scale stack and `none` for a flat one.
        memory_skip: the same for the zigzag memory M; the paper does not specify it, and `none` is its default here.
        cell_options: further options of the cell, by name.
    """

    def __init__(
        self,
        cell: str,
        channels: int,
        *,
        num_layers: int,
        kernel_size: int,
        multiscale: bool,
        skip: str | None = None,
        memory_skip: str = "none",
        cell_options: Mapping[str, Any] = NO_OPTIONS,
    ) -> None:
        super().__init__()
        if num_layers < 1 or channels < 1 or kernel_size < 1 or kernel_size % 2 == 0:
            raise InputError(
                "stack: expected positive numbers of layers and channels and an odd kernel_size, got "
                f"num_layers={num_layers}, channels={channels}, kernel_size={kernel_size}"
            )
        cell_class = CELLS.get(cell)
        self.levels = tuple(min(n, num_layers - 1 - n) if multiscale else 0 for n in range(num_layers))
        connect, connect_memory = SKIPS.get(skip or ("unet" if multiscale else "none")), SKIPS.get(memory_skip)
        self.skips = tuple(tuple(connect(n, self.levels)) for n in range(num_layers))
        self.memory_skips = tuple(tuple(connect_memory(n, self.levels)) for n in range(num_layers))
        self.cells = nn.ModuleList(
            cell_class(channels, kernel_size, LayerPosition(layer, num_layers), **cell_options)
            for layer in range(num_layers)
        )
        self.auxiliary = cell_class.auxiliary(channels)

    def forward(
        self, x_BCHW: Tensor, state: StackState | None = None, *, with_loss: bool = False
    ) -> tuple[Tensor, StackState, Tensor | None]:
        """Advance all layers by one time step.

        Returns:
            The last layer's output at full resolution, the state for the next step, and the cells' additional loss if
                they
            have one and it is requested.

        Raises:
            InputError: the field is too small for the number of halvings.
        """
        sizes, with_loss = self._sizes(x_BCHW), with_loss and self.auxiliary is not None
        memory_BCHW = state.memory_BCHW if state is not None else None
        steps: list[Step] = []
        for n, module in enumerate(self.cells):
            cell = cast(RecurrentCell, module)
            if n > 0:
                x_BCHW = _joined([step.y_BCHW for step in steps], self.skips[n], sizes[n])
                memories = [step.memory_BCHW for step in steps if step.memory_BCHW is not None]
                memory_BCHW = _joined(memories, self.memory_skips[n], sizes[n]) if memories else None
            own = state.layers[n] if state is not None else cell.init_state(x_BCHW)
            diagonal = (_diagonal(state, n, sizes[n]),) if cell.uses_diagonal else ()
            steps.append(advanced(cell, x_BCHW, own, memory_BCHW, *diagonal, with_increments=with_loss))
        outputs = tuple(step.y_BCHW for step in steps) if cell.uses_diagonal else ()
        new_state = StackState(tuple(step.state for step in steps), steps[-1].memory_BCHW, outputs)
        return steps[-1].y_BCHW, new_state, self._own_loss(steps) if with_loss else None

    def _own_loss(self, steps: list[Step]) -> Tensor | None:
        if self.auxiliary is None:
            return None
        return stack([self.auxiliary(*step.increments) for step in steps]).sum()

    def _sizes(self, x_BCHW: Tensor) -> list[tuple[int, int]]:
        height, width = x_BCHW.shape[-2:]
        needed = 2 ** max(self.levels)
        if min(height, width) < needed:
            raise InputError(
                f"field: expected at least {needed} x {needed} cells for this stack, got {height} x {width}"
            )
        return [(height >> level, width >> level) for level in self.levels]


def _joined(below: list[Tensor], skips: tuple[int, ...], size: tuple[int, int]) -> Tensor:
    """Return the newest layer's tensor plus those of its skips, at one size."""
    x_BCHW = resample(below[-1], size)
    for source in skips:
        x_BCHW = x_BCHW + resample(below[source], size)
    return x_BCHW


def _diagonal(state: StackState | None, layer: int, size: tuple[int, int]) -> Tensor | None:
    return None if state is None or layer == 0 else resample(state.outputs[layer - 1], size)


def resample(x_BCHW: Tensor, size: tuple[int, int]) -> Tensor:
    """Resample to a size: max-pool down or interpolate bilinearly up; the same size is returned unchanged.

    Going down, the window is the power of two between the levels, so that odd sizes lose their last row or column;
    going up, the exact size of the finer level is restored.
    """
    height, width = x_BCHW.shape[-2:]
    if (height, width) == size:
        return x_BCHW
    if size[0] <= height and size[1] <= width:
        window = 1 << max((height // size[0]).bit_length(), (width // size[1]).bit_length()) - 1
        return _pooled(x_BCHW, window)
    return F.interpolate(x_BCHW, size=size, mode="bilinear", align_corners=False)


def _pooled(x_BCHW: Tensor, window: int) -> Tensor:
    if torch.compiler.is_compiling() or not torch.is_grad_enabled():
        return F.max_pool2d(x_BCHW, window)
    result: Tensor = _MaxPool.apply(x_BCHW, window)  # type: ignore[no-untyped-call]
    return result


class _MaxPool(torch.autograd.Function):
    """Saves its input, which other operations save as well, and finds the maxima again, instead of 64-bit indices."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, window: int) -> Tensor:
        ctx.save_for_backward(x)
        ctx.window = window
        return F.max_pool2d(x, window)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor, None]:
        (x,) = ctx.saved_tensors
        edge = [ctx.window, ctx.window]
        _, indices = torch.ops.aten.max_pool2d_with_indices(x, edge)
        by_input = torch.ops.aten.max_pool2d_with_indices_backward(
            gradient, x, edge, edge, [0, 0], [1, 1], False, indices
        )
        return by_input, None
