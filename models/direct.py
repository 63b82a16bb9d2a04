"""Models without recurrence: a fixed number of frames in, and the frames after them out, in one pass."""

from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.utils.checkpoint import checkpoint

from core.errors import InputError


class DirectModel(nn.Module, ABC):
    """Base of SimVP and Earthformer: any size, any number of leads, the interface that the trainer uses.

    Sides that are not a multiple of `multiple` are padded with their last row and column and cut again. If more leads
    are requested than one pass returns, further passes start from the newest frames, own forecasts among them.

    Args:
        in_channels: channels of a frame.
        input_steps: frames that a pass takes.
        multiple: number that the sides must be a multiple of within the network.
        residual: predict the change since the newest input frame, instead of the frames themselves.

    Attributes:
        recompute: in training, compute the activations inside each part again in the backward pass.
    """

    def __init__(self, *, in_channels: int, input_steps: int, multiple: int, residual: bool) -> None:
        super().__init__()
        self.in_channels, self.input_steps = in_channels, input_steps
        self.multiple, self.residual = multiple, residual
        self.recompute = False

    def forward(self, frames_BTCHW: Tensor, lead_steps: int) -> Tensor:
        """Return the forecast after the given frames, (B, lead_steps, C, H, W).

        Raises:
            InputError: not (B, T, C, H, W) with this model's channels and number of frames, or no lead step.
        """
        self._check(frames_BTCHW, lead_steps)
        known_BTCHW = self._filled_up(frames_BTCHW)
        while known_BTCHW.shape[1] < self.input_steps + lead_steps:
            newest_BTCHW = known_BTCHW[:, -self.input_steps :]
            next_BTCHW = self.one_pass(newest_BTCHW)
            next_BTCHW = newest_BTCHW[:, -1:] + next_BTCHW if self.residual else next_BTCHW
            known_BTCHW = torch.cat([known_BTCHW, next_BTCHW], dim=1)
        height, width = frames_BTCHW.shape[-2:]
        return known_BTCHW[:, self.input_steps : self.input_steps + lead_steps, :, :height, :width]

    def predict_with_loss(
        self,
        frames_BTCHW: Tensor,
        lead_steps: int,
        *,
        future_BTCHW: Tensor | None = None,
        use_truth_TB: Tensor | Sequence[Sequence[bool]] | None = None,
    ) -> tuple[Tensor, Tensor | None]:
        """Return the forecast frames and an additional loss, here none; without one-step forecasts no truth is used."""
        del future_BTCHW, use_truth_TB
        return self(frames_BTCHW, lead_steps), None

    @abstractmethod
    def one_pass(self, frames_BTCHW: Tensor) -> Tensor:
        """Map `input_steps` frames, whose sides are multiples of `multiple`, to the frames after them."""

    def _part(self, part: Callable[..., Any], *inputs: Tensor | Sequence[Tensor] | None) -> Any:
        if self.recompute and torch.is_grad_enabled():
            return checkpoint(part, *inputs, use_reentrant=False)
        return part(*inputs)

    def _filled_up(self, frames_BTCHW: Tensor) -> Tensor:
        below, right = -frames_BTCHW.shape[-2] % self.multiple, -frames_BTCHW.shape[-1] % self.multiple
        if not below and not right:
            return frames_BTCHW
        filled = F.pad(frames_BTCHW.flatten(0, 1), (0, right, 0, below), mode="replicate")
        return torch.unflatten(filled, 0, frames_BTCHW.shape[:2])

    def _check(self, frames_BTCHW: Tensor, lead_steps: int) -> None:
        steps, channels = self.input_steps, self.in_channels
        if frames_BTCHW.ndim != 5 or tuple(frames_BTCHW.shape[1:3]) != (steps, channels):
            raise InputError(
                f"frames: expected shape (batch, {steps}, {channels}, rows, columns), got {tuple(frames_BTCHW.shape)}; "
                f"this model is built for {steps} input frames (its option input_steps)"
            )
        if lead_steps < 1:
            raise InputError(f"lead_steps: expected at least 1, got {lead_steps}")
