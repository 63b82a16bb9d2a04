"""Models that run frame by frame: each step takes a frame and predicts the next one; a stack is the most common."""

from abc import ABC, abstractmethod
from collections.abc import Sequence
from typing import Any, ClassVar

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.utils.checkpoint import checkpoint

from core.errors import InputError
from models.stack import RecurrentStack, StackState


def to_patches(x_BCHW: Tensor, patch: int) -> Tensor:
    """Move space to depth: (B, C, H, W) to (B, C patch^2, ceil(H / patch), ceil(W / patch))."""
    if patch == 1:
        return x_BCHW
    below, right = -x_BCHW.shape[-2] % patch, -x_BCHW.shape[-1] % patch
    return F.pixel_unshuffle(F.pad(x_BCHW, (0, right, 0, below), mode="replicate"), patch)


def from_patches(x_BCHW: Tensor, patch: int, size: Sequence[int]) -> Tensor:
    """Move depth to space, cut to a size: the inverse of `to_patches`."""
    return x_BCHW if patch == 1 else F.pixel_shuffle(x_BCHW, patch)[..., : size[0], : size[1]]


class FrameByFrame(nn.Module, ABC):
    """Base of models that predict the next frame at each step; after the given frames they take their own prediction.

    Args:
        in_channels: channels of a frame.

    Attributes:
        recompute: in training, save only the states between time steps and compute a step's activations again in the
            backward pass: less memory for about a third more work, the same numbers.
        schedule: the schedule of true frames with which the paper of the model trains.
    """

    schedule: ClassVar[str] = "scheduled"

    def __init__(self, in_channels: int) -> None:
        super().__init__()
        self.in_channels = in_channels
        self.recompute = False

    def forward(self, frames_BTCHW: Tensor, lead_steps: int) -> Tensor:
        """Return the forecast after the given frames, (B, lead_steps, C, H, W)."""
        return self.predict_all(frames_BTCHW, lead_steps)[:, -lead_steps:]

    def predict_all(
        self,
        frames_BTCHW: Tensor,
        lead_steps: int,
        *,
        future_BTCHW: Tensor | None = None,
        use_truth_TB: Tensor | Sequence[Sequence[bool]] | None = None,
    ) -> Tensor:
        """Return every one-step prediction, of frames 1 to T + lead_steps - 1, as the paper's loss takes them.

        Args:
            frames_BTCHW: the given frames, T of them.
            lead_steps: how many steps follow the last given frame.
            future_BTCHW: the true frames after them, for scheduled sampling.
            use_truth_TB: (T + lead_steps - 1, B), whether step t takes the true frame instead of the model's
                prediction. None: true for the given frames, predictions for all later ones.

        Returns:
            (B, T + lead_steps - 1, C, H, W).

        Raises:
            InputError: not (B, T, C, H, W) with this model's channels, or no lead step.
        """
        predictions, _ = self._run(frames_BTCHW, lead_steps, future_BTCHW, use_truth_TB, with_loss=False)
        return torch.stack(predictions, dim=1)

    def predict_with_loss(
        self,
        frames_BTCHW: Tensor,
        lead_steps: int,
        *,
        future_BTCHW: Tensor | None = None,
        use_truth_TB: Tensor | Sequence[Sequence[bool]] | None = None,
    ) -> tuple[Tensor, Tensor | None]:
        """Return `predict_all`, and the cells' additional loss (mean over the steps) if they have one."""
        predictions, losses = self._run(frames_BTCHW, lead_steps, future_BTCHW, use_truth_TB, with_loss=True)
        return torch.stack(predictions, dim=1), torch.stack(losses).mean() if losses else None

    def _run(
        self,
        frames_BTCHW: Tensor,
        lead_steps: int,
        future_BTCHW: Tensor | None,
        use_truth_TB: Tensor | Sequence[Sequence[bool]] | None,
        *,
        with_loss: bool,
    ) -> tuple[list[Tensor], list[Tensor]]:
        """Return prediction and additional loss of every step."""
        self._check(frames_BTCHW, lead_steps)
        given = frames_BTCHW.shape[1]
        truth_BTCHW = frames_BTCHW if future_BTCHW is None else torch.cat([frames_BTCHW, future_BTCHW], dim=1)
        state: Any = None
        predictions: list[Tensor] = []
        losses: list[Tensor] = []
        for t in range(given + lead_steps - 1):
            if use_truth_TB is None:
                frame_BCHW = truth_BTCHW[:, t] if t < given else predictions[-1]
            else:
                frame_BCHW = self._mixed(truth_BTCHW, predictions, t, use_truth_TB)
            if self.recompute and torch.is_grad_enabled():
                step = checkpoint(self._step, frame_BCHW, state, with_loss, use_reentrant=False)
            else:
                step = self._step(frame_BCHW, state, with_loss)
            prediction_BCHW, state, loss = step
            predictions.append(prediction_BCHW)
            losses += [] if loss is None else [loss]
        return predictions, losses

    @abstractmethod
    def _step(self, frame_BCHW: Tensor, state: Any, with_loss: bool) -> tuple[Tensor, Any, Tensor | None]:
        """Return the next frame, the state (None before the first step), and an additional loss where requested."""

    def _mixed(self, truth_BTCHW: Tensor, predictions: list[Tensor], t: int, use_truth_TB: Any) -> Tensor:
        choice_B = torch.as_tensor(use_truth_TB[t], dtype=torch.bool)  # on the CPU: a GPU would have to be waited for
        if t == 0 or bool(choice_B.all()):
            return truth_BTCHW[:, t]
        if not bool(choice_B.any()):
            return predictions[-1]
        choice_B = choice_B.to(truth_BTCHW.device, non_blocking=True)
        return torch.where(choice_B[:, None, None, None], truth_BTCHW[:, t], predictions[-1])

    def _check(self, frames_BTCHW: Tensor, lead_steps: int) -> None:
        if frames_BTCHW.ndim != 5 or frames_BTCHW.shape[1] < 1 or frames_BTCHW.shape[2] != self.in_channels:
            raise InputError(
                f"frames: expected shape (batch, time, {self.in_channels}, rows, columns), "
                f"got {tuple(frames_BTCHW.shape)}"
            )
        if lead_steps < 1:
            raise InputError(f"lead_steps: expected at least 1, got {lead_steps}")


class RecurrentModel(FrameByFrame):
    """Embed, stack, head (MS-RNN paper, section 4; `reference` loop: one-step-ahead prediction, fed back).

    Args:
        cell: name of a registered cell.
        in_channels: channels of a frame.
        hidden_channels: channels of every layer.
        num_layers: layers of the stack.
        kernel_size: of the cell's convolutions.
        multiscale: see `RecurrentStack`.
        skip, memory_skip: see `RecurrentStack`.
        patch: edge of the squares of pixels that become channels before the network, and pixels again after it (the
            paper's last section); other sides are padded with their last row and column.
        residual: predict the change relative to the input frame, instead of the frame itself.
        **cell_options: options of the cell (`models.cells.base.options_of_cell`).
    """

    def __init__(
        self,
        cell: str,
        *,
        in_channels: int = 1,
        hidden_channels: int = 64,
        num_layers: int = 6,
        kernel_size: int = 3,
        multiscale: bool = True,
        skip: str | None = None,
        memory_skip: str = "none",
        patch: int = 1,
        residual: bool = False,
        **cell_options: Any,
    ) -> None:
        super().__init__(in_channels)
        self.patch, self.residual = patch, residual
        channels = in_channels * patch**2
        self.embed = nn.Conv2d(channels, hidden_channels, 1)
        how: dict[str, Any] = {"num_layers": num_layers, "kernel_size": kernel_size, "multiscale": multiscale}
        how |= {"skip": skip, "memory_skip": memory_skip, "cell_options": cell_options}
        self.stack = RecurrentStack(cell, hidden_channels, **how)
        self.head = nn.Conv2d(hidden_channels, channels, 1)

    def _step(
        self, frame_BCHW: Tensor, state: StackState | None, with_loss: bool
    ) -> tuple[Tensor, StackState, Tensor | None]:
        patches_BCHW = to_patches(frame_BCHW, self.patch).to(self.embed.weight.dtype)
        y_BCHW, state, loss = self.stack(self.embed(patches_BCHW), state, with_loss=with_loss)
        change_BCHW = from_patches(self.head(y_BCHW.to(self.head.weight.dtype)), self.patch, frame_BCHW.shape[-2:])
        return (frame_BCHW + change_BCHW if self.residual else change_BCHW), state, loss
