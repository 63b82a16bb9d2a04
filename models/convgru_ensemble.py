"""ConvGRU ensemble: an encoder and a decoder of convolutional GRUs, whose members differ by the noise they decode."""

from collections.abc import Sequence
from typing import ClassVar, Final

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from core.errors import InputError
from models.cells.base import CatConv2d
from models.checks import require_odd, require_positive
from models.direct import DirectModel

NOISE_SEED: Final = 2022
"""Of the noise of a forecast, so that the same frames give the same members."""


class GRULayer(nn.Module):
    """A convolutional GRU whose input and state have the same channels (Ballas et al. 2015, eqs. 4 to 7)."""

    def __init__(self, channels: int, kernel_size: int) -> None:
        super().__init__()
        self.gates = CatConv2d(2 * channels, 2 * channels, kernel_size)
        self.candidate = CatConv2d(2 * channels, channels, kernel_size)

    def forward(self, sequence: Sequence[Tensor], h_BCHW: Tensor) -> list[Tensor]:
        """Return the state after each input of a sequence."""
        states = []
        for x_BCHW in sequence:
            update, reset = self.gates(x_BCHW, h_BCHW).sigmoid().chunk(2, dim=1)
            h_BCHW = torch.lerp(h_BCHW, self.candidate(x_BCHW, reset * h_BCHW).tanh(), update)
            states.append(h_BCHW)
        return states


class ConvGRUEnsemble(DirectModel):
    """The ensemble of `mlcast` (EUMETNET): each block halves the size and keeps all numbers as channels.

    The decoder starts from the encoder's last states and has no frame as input, but noise: a member is one draw of it.
    All leads come from one pass. Trained by the CRPS of its members (`loss: crps`). The defaults have the four blocks
    of mlcast's class, 4.0 M parameters; its experiment has five, 64.2 M.

    Args:
        in_channels: channels of a frame.
        hidden_channels: taken as 64: the channels follow from `blocks`, 4^n of a frame's.
        num_layers: taken as 6, see `blocks`.
        kernel_size: of all convolutions.
        input_steps: frames in.
        blocks: of the encoder, and of the decoder.
        members: of a forecast, whose mean is the deterministic one.
        training_members: drawn for each sample in training.
        steadiness: weight of the mean change between frames in the loss of training.

    Raises:
        InputError: an impossible number.
    """

    loss: ClassVar[str] = "crps"
    compiles: ClassVar[bool] = False

    def __init__(
        self,
        *,
        in_channels: int = 1,
        hidden_channels: int = 64,
        num_layers: int = 6,
        kernel_size: int = 3,
        input_steps: int = 6,
        blocks: int = 4,
        members: int = 10,
        training_members: int = 2,
        steadiness: float = 0.01,
    ) -> None:
        require_positive(in_channels=in_channels, input_steps=input_steps, blocks=blocks, members=members)
        require_odd(kernel_size=kernel_size)
        _check(hidden_channels, num_layers, training_members, steadiness)
        super().__init__(in_channels=in_channels, input_steps=input_steps, multiple=2**blocks, residual=False)
        self.members, self.training_members, self.steadiness = members, training_members, steadiness
        widths = [in_channels * 4**n for n in range(blocks)]
        self.encoder = nn.ModuleList(GRULayer(width, kernel_size) for width in widths)
        self.decoder = nn.ModuleList(GRULayer(4 * width, kernel_size) for width in reversed(widths))

    def forward(self, frames_BTCHW: Tensor, lead_steps: int) -> Tensor:
        """Return the mean of the members, (B, lead_steps, C, H, W); the same frames give the same members.

        Raises:
            InputError: not (B, T, C, H, W) with this model's channels and number of frames, or no lead step.
        """
        return self.draw_members(frames_BTCHW, lead_steps, self.members, seed=NOISE_SEED).mean(dim=1)

    def draw_members(self, frames_BTCHW: Tensor, lead_steps: int, members: int, *, seed: int | None = None) -> Tensor:
        """Return members, (B, members, lead_steps, C, H, W).

        Args:
            frames_BTCHW: the given frames.
            lead_steps: frames to forecast.
            members: draws of the noise.
            seed: of the noise; None takes the generator of all random numbers, as training does.

        Raises:
            InputError: as `forward`.
        """
        self._check(frames_BTCHW, lead_steps)
        height, width = frames_BTCHW.shape[-2:]
        short = (0, -width % self.multiple, 0, -height % self.multiple)
        states = self.encode(F.pad(frames_BTCHW, short))
        noise_BTCHW = self._noise(states[-1], lead_steps, members, seed)
        decoded_BTCHW = torch.stack(self._part(self.decode, noise_BTCHW, *states), dim=1)
        drawn_BMTCHW: Tensor = torch.unflatten(decoded_BTCHW[..., :height, :width], 0, (-1, members))
        return drawn_BMTCHW

    def decode(self, noise_BTCHW: Tensor, *states: Tensor) -> list[Tensor]:
        """Return the frames that follow from noise and the encoder's states, whose samples stand for several each."""
        sequence: Sequence[Tensor] = noise_BTCHW.unbind(dim=1)
        for layer, state_BCHW in zip(self.decoder, reversed(states), strict=True):
            h_BCHW = state_BCHW.repeat_interleave(len(noise_BTCHW) // len(state_BCHW), dim=0)
            sequence = [F.pixel_shuffle(each_BCHW, 2) for each_BCHW in layer(sequence, h_BCHW)]
        return list(sequence)

    def predict_with_loss(
        self,
        frames_BTCHW: Tensor,
        lead_steps: int,
        *,
        future_BTCHW: Tensor | None = None,
        use_truth_TB: Tensor | Sequence[Sequence[bool]] | None = None,
    ) -> tuple[Tensor, Tensor | None]:
        """Return the members side by side in the channels, (B, lead_steps, members C, H, W), and the change's loss."""
        del future_BTCHW, use_truth_TB
        members, seed = (self.training_members, None) if self.training else (self.members, NOISE_SEED)
        drawn_BMTCHW = self.draw_members(frames_BTCHW, lead_steps, members, seed=seed)
        side_by_side_BTCHW = drawn_BMTCHW.transpose(1, 2).flatten(2, 3)
        if not self.steadiness or lead_steps < 2:
            return side_by_side_BTCHW, None
        change_BMTCHW = drawn_BMTCHW[:, :, 1:] - drawn_BMTCHW[:, :, :-1]
        return side_by_side_BTCHW, self.steadiness * change_BMTCHW.abs().sum(dim=(3, 4, 5)).mean()

    def one_pass(self, frames_BTCHW: Tensor) -> Tensor:
        """Return the mean of the members of as many frames as were given."""
        return self.forward(frames_BTCHW, frames_BTCHW.shape[1])

    def encode(self, frames_BTCHW: Tensor) -> list[Tensor]:
        """Return the last state of each block, from the finest to the coarsest, as the decoder takes it."""
        sequence: Sequence[Tensor] = frames_BTCHW.unbind(dim=1)
        states = []
        for layer in self.encoder:
            zeros_BCHW = torch.zeros_like(sequence[0])
            sequence = [F.pixel_unshuffle(each_BCHW, 2) for each_BCHW in self._part(layer, sequence, zeros_BCHW)]
            states.append(sequence[-1])
        return states

    def _noise(self, deepest_BCHW: Tensor, lead_steps: int, members: int, seed: int | None) -> Tensor:
        """Draw the decoder's input; with a seed step by step, on the CPU, and the same for each sample."""
        samples, *size = deepest_BCHW.shape
        if seed is None:
            return torch.randn(
                samples * members, lead_steps, *size, dtype=deepest_BCHW.dtype, device=deepest_BCHW.device
            )
        generator = torch.Generator("cpu").manual_seed(seed)
        steps = [torch.randn(members, *size, generator=generator, device="cpu") for _ in range(lead_steps)]
        return torch.stack(steps, dim=1).to(deepest_BCHW).repeat(samples, 1, 1, 1, 1)


def _check(hidden_channels: int, num_layers: int, training_members: int, steadiness: float) -> None:
    if hidden_channels != 64 or num_layers != 6 or training_members < 2 or steadiness < 0:
        raise InputError(
            "convgru-ensemble: expected training_members of at least 2, steadiness of at least 0, hidden_channels=64 "
            "and num_layers=6 (its size is the option blocks), got "
            f"training_members={training_members}, steadiness={steadiness}, hidden_channels={hidden_channels}, "
            f"num_layers={num_layers}"
        )
