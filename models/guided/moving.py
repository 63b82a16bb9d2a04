"""A recurrent network that corrects the native model's logits, in coordinates that move with the rain.

It reads the last hour, carried to the newest time so that a storm stays where it is, on cells of about 4 km, and steps
from one lead time to the next. What it yields for a lead is carried there as the predictors are
(`models.guided.correction`).
"""

from typing import Final

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from models.guided.network import RATES_MMH
from models.rollout import from_patches, to_patches
from models.stack import RecurrentStack, StackState

AGES_MINUTES: Final = (60.0, 40.0, 20.0, 0.0)
"""Of the fields that the network reads, as far as the cadence has them."""
NETWORK_CELL_KM: Final = 4.0
"""Largest edge of the cells that the network corrects, unless the grid itself is coarser."""
NETWORK_LEADS: Final = (60.0, 90.0, 120.0, 150.0)
"""Lead times in minutes that it corrects; between them its fields are interpolated."""
UNTOUCHED_MINUTES: Final = 30.0
"""Up to this lead time it corrects nothing: cells of 4 km are too coarse there."""
NODES_MMH: Final = (0.1, 1.0, 4.0, 20.0)
"""Thresholds of the fields that are added to logits; between two, both count by the logarithm."""
LARGEST_SHIFT: Final = 3.0
LARGEST_STRETCH: Final = 0.5
STRETCHED: Final = 4.0
"""Logits beyond it are stretched as if they were there."""
FRAME_CHANNELS: Final = 3
"""Mean of the log rate, log of the mean rate (both 0 where not observed), and whether it was observed."""
LARGEST_LOGIT: Final = 8.0
"""Bound of the statistical model's logits as an input."""


class MovingCorrection(nn.Module):
    """An MS-RNN on the frames of the last hour, and on the statistical model's logits at the lead times.

    Its initial output is zero.

    Args:
        name: of a registered cell, flat, or multi-scale with the prefix `ms-`.
        hidden_channels, num_layers: see `RecurrentStack`.
        patch: edge of the squares of its cells that the stack sees as one; each is still corrected individually.
        centred: whether the expected area of a window stays as it is: the network moves rain, it adds none.
        strength: factor of its fields.
        rates_mmh: thresholds of the logits.
    """

    def __init__(
        self,
        name: str = "ms-convlstm",
        *,
        hidden_channels: int = 24,
        num_layers: int = 6,
        patch: int = 2,
        centred: bool = True,
        strength: float = 1.0,
        rates_mmh: tuple[float, ...] = RATES_MMH,
    ) -> None:
        super().__init__()
        self.patch, self.centred, self.strength, self.fields = patch, centred, strength, len(NODES_MMH) + 1
        self.nodes = [int(np.abs(np.log(rates_mmh) - np.log(mmh)).argmin()) for mmh in NODES_MMH]
        self.embed = _embedding((len(AGES_MINUTES) * FRAME_CHANNELS + 1) * patch**2, hidden_channels)
        self.embed_lead = nn.Conv2d(len(rates_mmh) * patch**2 + 1, hidden_channels, 1)
        self.stack = RecurrentStack(
            name.removeprefix("ms-"),
            hidden_channels,
            num_layers=num_layers,
            kernel_size=3,
            multiscale=name.startswith("ms-"),
        )
        self.mix = nn.Sequential(
            ChannelNorm(hidden_channels), nn.Conv2d(hidden_channels, hidden_channels, 1), nn.SiLU()
        )
        self.head = nn.Conv2d(hidden_channels, self.fields * patch**2, 1)
        for parameter in self.head.parameters():
            nn.init.zeros_(parameter)

    def forward(self, frames_BTCHW: Tensor, prior_BLKHW: Tensor, cell_km: float) -> Tensor:
        """Return the fields (B, L, G, H, W) of the lead times `NETWORK_LEADS`: shifts at `NODES_MMH`, and the stretch.

        Args:
            frames_BTCHW: `moving_frames`.
            prior_BLKHW: the statistical model's logits for what is at the same place at the newest time.
            cell_km: edge of a cell.
        """
        rows, cols = frames_BTCHW.shape[-2:]
        given = frames_BTCHW[:, -1, -1], prior_BLKHW
        least = self.patch * 2 ** max(self.stack.levels)
        below, right = max(least - rows, 0), max(least - cols, 0)
        frames_BTCHW = F.pad(frames_BTCHW, (0, right, 0, below)) / 3
        prior_BLKHW = F.pad(prior_BLKHW, (0, right, 0, below), value=-6.0).clamp(-LARGEST_LOGIT, LARGEST_LOGIT) / 4
        size_B1HW = torch.full_like(frames_BTCHW[:, 0, :1], float(np.log(cell_km / NETWORK_CELL_KM)))
        past_BCHW = self.embed(to_patches(torch.cat([frames_BTCHW.flatten(1, 2), size_B1HW], dim=1), self.patch))
        state: StackState | None = None
        found = []
        for t, minutes in enumerate(NETWORK_LEADS):
            lead_BCHW = to_patches(prior_BLKHW[:, t], self.patch)
            lead_BCHW = torch.cat([lead_BCHW, torch.full_like(lead_BCHW[:, :1], minutes / 150)], dim=1)
            x_BCHW = F.silu(past_BCHW + self.embed_lead(lead_BCHW))
            y_BCHW, state, _ = self.stack(x_BCHW, state)
            found.append(from_patches(self.head(self.mix(y_BCHW) + x_BCHW), self.patch, (rows, cols)))
        fields_BLGHW = self.strength * bounded(torch.stack(found, dim=1).float())
        return self._centred(fields_BLGHW, *given) if self.centred else fields_BLGHW

    def _centred(self, fields_BLGHW: Tensor, seen_BHW: Tensor, prior_BLKHW: Tensor) -> Tensor:
        """Take the mean change from the shifts, weighted by how far a probability follows its logit."""
        logits_BLGHW = prior_BLKHW[:, :, self.nodes]
        chance_BLGHW = logits_BLGHW.sigmoid()
        weight_BLGHW = chance_BLGHW * (1 - chance_BLGHW) * seen_BHW[:, None, None] + 1e-6
        shift_BLGHW, stretch_BL1HW = fields_BLGHW[:, :, :-1], fields_BLGHW[:, :, -1:]
        change_BLGHW = shift_BLGHW + stretch_BL1HW * logits_BLGHW.clamp(-STRETCHED, STRETCHED)
        sum_BLG11 = (weight_BLGHW * change_BLGHW).sum((-2, -1), keepdim=True)
        mean_BLG11 = sum_BLG11 / weight_BLGHW.sum((-2, -1), keepdim=True)
        return torch.cat([shift_BLGHW - mean_BLG11, stretch_BL1HW], dim=2)


class ChannelNorm(nn.Module):
    """Scale the channels of each cell to mean 0 and standard deviation 1, then by weights.

    Unlike a norm over the field, it is the same for a crop and for the whole.
    """

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.norm = nn.LayerNorm(channels, eps=1e-4)

    def forward(self, x_BCHW: Tensor) -> Tensor:
        """Return the scaled channels."""
        scaled: Tensor = self.norm(x_BCHW.permute(0, 2, 3, 1))
        return scaled.permute(0, 3, 1, 2)


def _embedding(inputs: int, channels: int) -> nn.Sequential:
    return nn.Sequential(
        nn.Conv2d(inputs, channels, 1),
        nn.SiLU(),
        nn.Conv2d(channels, channels, 3, padding=1, padding_mode="replicate"),
        ChannelNorm(channels),
    )


def bounded(raw_BLGHW: Tensor) -> Tensor:
    """Return the fields within their bounds."""
    shift_BLGHW = LARGEST_SHIFT * (raw_BLGHW[:, :, :-1] / LARGEST_SHIFT).tanh()
    return torch.cat([shift_BLGHW, LARGEST_STRETCH * raw_BLGHW[:, :, -1:].tanh()], dim=2)


def corrected_KN(logits_KN: Tensor, fields_GN: Tensor, mix_KG: Tensor) -> Tensor:
    """Return corrected logits.

    Args:
        logits_KN: of the statistical model.
        fields_GN: the network's fields at the same cells.
        mix_KG: `mix_of` the thresholds.
    """
    stretch_KN = logits_KN.clamp(-STRETCHED, STRETCHED) * fields_GN[-1:]
    return logits_KN + stretch_KN + mix_KG @ fields_GN[:-1]
