"""One step of a cell on a large field, in bands of rows: the same numbers with a fraction of the memory."""

from typing import Final

import torch
from torch import Tensor

from models.cells.base import RecurrentCell, State, Step

ROWS: Final = 64
"""Rows of a band: the intermediate results of a cell's convolutions then fit into a processor's cache."""
LARGE: Final = 2**18
"""Pixels (of all samples together) above which a step is cut into bands."""


def advanced(
    cell: RecurrentCell,
    x_BCHW: Tensor,
    state: State,
    memory_BCHW: Tensor | None,
    *diagonal_BCHW: Tensor | None,
    with_increments: bool = False,
) -> Step:
    """Run one step of a cell; on a large field in bands of rows, if the cell's reach is bounded. On a CPU alone: a GPU
    has no such cache, and each band would be further launches of small kernels.

    Each band is computed with `cell.reach` further rows on both sides, so that its own rows equal those of the whole
    field; increments, if requested, are computed for the whole field only.
    """
    pixels = x_BCHW.shape[0] * x_BCHW.shape[2] * x_BCHW.shape[3]
    plain = torch.is_grad_enabled() or torch.compiler.is_compiling() or pixels <= LARGE
    if plain or with_increments or cell.reach is None or x_BCHW.device.type != "cpu":
        step: Step = cell(x_BCHW, state, memory_BCHW, *diagonal_BCHW)
        return step
    whole: list[Tensor] = []
    height = x_BCHW.shape[2]
    for top in range(0, height, ROWS):
        rows = slice(max(top - cell.reach, 0), min(top + ROWS + cell.reach, height))
        cut = [None if tensor is None else tensor[:, :, rows] for tensor in (memory_BCHW, *diagonal_BCHW)]
        step = cell(x_BCHW[:, :, rows], tuple(tensor[:, :, rows] for tensor in state), *cut)
        parts = [step.y_BCHW, *step.state, *([] if step.memory_BCHW is None else [step.memory_BCHW])]
        whole = whole or _empty(parts, x_BCHW)
        kept = slice(top, min(top + ROWS, height))
        for target, part in zip(whole, parts, strict=True):
            target[:, :, kept] = part[:, :, kept.start - rows.start : kept.stop - rows.start]
    number = 1 + len(step.state)
    return Step(whole[0], tuple(whole[1:number]), whole[number] if len(whole) > number else None)


def _empty(parts: list[Tensor], x_BCHW: Tensor) -> list[Tensor]:
    """Allocate the whole of each part; parts that are the same tensor share it."""
    room = {id(part): torch.empty_like(x_BCHW) for part in parts}
    return [room[id(part)] for part in parts]
