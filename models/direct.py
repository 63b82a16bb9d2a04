"""Models without recurrence: a fixed number of frames goes in at once, the frames after them come out at once."""

from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.utils.checkpoint import checkpoint

from core.errors import InputError


class DirectModel(nn.Module, ABC):
    """What SimVP and Earthformer share: any size, any number of leads, the trainer's call.

    Sides that are no multiple of what the network halves are filled up by their last row and column and cut again. More
    leads than one pass gives are forecast from the newest frames, the own forecast among them, in a further pass.

    Args:
        in_channels: channels of a frame.
        input_steps: frames that a pass takes.
        multiple: what the network needs the sides to be a multiple of.
        residual: predict the change since the newest frame that goes in, instead of the frames themselves.

    Attributes:
        recompute: in training, compute the activations inside each part again when its gradient is due.
    """

    def __init__(self, *, in_channels: int, input_steps: int, multiple: int, residual: bool) -> None:
        super().__init__()
        self.in_channels, self.input_steps = in_channels, input_steps
        self.multiple, self.residual = multiple, residual
        self.recompute = False

    def forward(self, frames_BTCHW: Tensor, lead_steps: int) -> Tensor:
        """The forecast after the given frames, (B, lead_steps, C, H, W).

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
    ) -> tuple[Tensor, None]:
        """The forecast frames alone: nothing is predicted one step ahead, so no truth is fed back; no own loss."""
        del future_BTCHW, use_truth_TB
        return self(frames_BTCHW, lead_steps), None

    @abstractmethod
    def one_pass(self, frames_BTCHW: Tensor) -> Tensor:
        """`input_steps` frames, their sides multiples of `multiple`, into the frames after them."""

    def _part(self, part: Callable[..., Any], *inputs: Tensor | None) -> Any:
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
        due = (self.input_steps, self.in_channels)
        if frames_BTCHW.ndim != 5 or tuple(frames_BTCHW.shape[1:3]) != due:
            raise InputError(
                f"frames of shape {tuple(frames_BTCHW.shape)}; (batch, {due[0]}, {due[1]}, rows, columns) was due: "
                f"this model is built for {due[0]} input frames (its option input_steps)"
            )
        if lead_steps < 1:
            raise InputError(f"{lead_steps} lead steps; at least 1 was due")


def require_positive(**numbers: int) -> None:
    """Refuse a model option below 1.

    Raises:
        InputError: one is; the message names it.
    """
    wrong = {name: number for name, number in numbers.items() if number < 1}
    if wrong:
        raise InputError(f"{', '.join(f'{name}={number}' for name, number in wrong.items())}; at least 1 was due")
