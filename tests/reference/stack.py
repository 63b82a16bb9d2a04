"""The textbook model: embed, layers, head, one frame after the other."""

from collections.abc import Callable
from typing import cast

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from tests.reference.cell import Cell, Step

DECOUPLING_WEIGHT = 0.01


class TextbookModel(nn.Module):
    """A flat or multi-scale stack (MS-RNN paper, section 4), each prediction the next input.

    Args:
        make_cell: builds a cell from channels, layer and number of layers.
        hidden_channels: of every layer.
        num_layers: layers.
        multiscale: whether layer l runs at 1 / 2**min(l, num_layers - 1 - l) of the size, with the U-Net's skips.
    """

    def __init__(
        self, make_cell: Callable[[int, int, int], Cell], *, hidden_channels: int, num_layers: int, multiscale: bool
    ) -> None:
        super().__init__()
        self.multiscale = multiscale
        self.levels = [min(n, num_layers - 1 - n) if multiscale else 0 for n in range(num_layers)]
        self.embed = nn.Conv2d(1, hidden_channels, 1)
        self.cells = nn.ModuleList(make_cell(hidden_channels, layer, num_layers) for layer in range(num_layers))
        self.head = nn.Conv2d(hidden_channels, 1, 1)
        first = cast(Cell, self.cells[0])
        self.takes_memory, self.takes_diagonal = first.takes_memory, first.takes_diagonal
        self.adapter = nn.Conv2d(hidden_channels, hidden_channels, 1) if first.is_decoupled else None

    def forward(self, frames_BTCHW: Tensor, lead_steps: int) -> Tensor:
        """Return the forecast after the given frames, (B, lead_steps, C, H, W)."""
        return self.predict_all(frames_BTCHW, lead_steps)[:, -lead_steps:]

    def predict_all(self, frames_BTCHW: Tensor, lead_steps: int) -> Tensor:
        """Return every one-step prediction, of frames 1 to T + lead_steps - 1."""
        return self.predict_with_loss(frames_BTCHW, lead_steps)[0]

    def predict_with_loss(self, frames_BTCHW: Tensor, lead_steps: int) -> tuple[Tensor, Tensor | None]:
        """Return `predict_all`, and PredRNN-V2's decoupling loss if gradients are enabled."""
        given = frames_BTCHW.shape[1]
        layers: list[Step] = []
        predictions: list[Tensor] = []
        losses: list[Tensor] = []
        for t in range(given + lead_steps - 1):
            frame_BCHW = frames_BTCHW[:, t] if t < given else predictions[-1]
            layers = self._advance(self.embed(frame_BCHW), layers)
            predictions.append(self.head(layers[-1].y_BCHW))
            if self.adapter is not None and torch.is_grad_enabled():
                losses.append(torch.stack([decoupling(self.adapter, *step.added) for step in layers]).sum())
        return torch.stack(predictions, dim=1), torch.stack(losses).mean() if losses else None

    def _advance(self, x_BCHW: Tensor, before: list[Step]) -> list[Step]:
        """Advance all layers by one time step, from the previous steps (none at the first)."""
        height, width = x_BCHW.shape[-2:]
        memory_BCHW = before[-1].memory_BCHW if before else torch.zeros_like(x_BCHW) if self.takes_memory else None
        layers: list[Step] = []
        for n, module in enumerate(self.cells):
            cell, size = cast(Cell, module), (height >> self.levels[n], width >> self.levels[n])
            if n > 0:
                x_BCHW = self._input(n, layers, size)
            extra = [] if memory_BCHW is None else [sampled(memory_BCHW, size)]
            if self.takes_diagonal:
                below_before = sampled(before[n - 1].y_BCHW, size) if before and n > 0 else torch.zeros_like(x_BCHW)
                extra.append(below_before)
            step: Step = cell(x_BCHW, before[n].state if before else cell.init_state(x_BCHW), *extra)
            memory_BCHW = step.memory_BCHW
            layers.append(step)
        return layers

    def _input(self, n: int, layers: list[Step], size: tuple[int, int]) -> Tensor:
        """Return the output of the layer below at this layer's size, plus the mirrored layer on the way up."""
        x_BCHW, mirror = sampled(layers[-1].y_BCHW, size), len(self.cells) - 1 - n
        return x_BCHW + layers[mirror].y_BCHW if self.multiscale and mirror < n - 1 else x_BCHW


def decoupling(adapter: nn.Module, added_c_BCHW: Tensor, added_m_BCHW: Tensor) -> Tensor:
    """Return the absolute cosine between the increments of C and M, summed over channels, averaged over the batch."""
    c_BCN = F.normalize(adapter(added_c_BCHW).flatten(2), dim=2)
    m_BCN = F.normalize(adapter(added_m_BCHW).flatten(2), dim=2)
    return DECOUPLING_WEIGHT * F.cosine_similarity(c_BCN, m_BCN, dim=2).abs().sum(dim=1).mean()


def sampled(x_BCHW: Tensor, size: tuple[int, int]) -> Tensor:
    """Return the field max-pooled to half, bilinearly enlarged, or unchanged."""
    if x_BCHW.shape[-2:] == size:
        return x_BCHW
    if x_BCHW.shape[-1] > size[1]:
        return F.max_pool2d(x_BCHW, 2)
    return F.interpolate(x_BCHW, size=size, mode="bilinear", align_corners=False)
