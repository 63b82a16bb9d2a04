"""A recurrent stack that corrects a statistical forecast: exceedance probabilities, lead by lead."""

from inspect import signature
from typing import Any, Final, NamedTuple

import torch
from torch import Tensor, nn

from core.errors import InputError
from models.cells.base import CELLS
from models.guided.statistics import NAMES
from models.rollout import from_patches, to_patches
from models.stack import RecurrentStack, StackState

RATES_MMH: Final = (0.1, 0.2, 0.5, 1.0, 2.0, 5.0, 10.0, 20.0)
"""Default thresholds of the exceedance probabilities."""
LARGEST: Final = 6.0
"""Bound of the predictors, in standard deviations."""


class Parts(NamedTuple):
    """Summands of a guided forecast, and the predictors that they were computed from.

    Attributes:
        scaled_BLFHW: predictors with mean 0 and standard deviation 1.
        prior_BLKHW: logits of the statistical model.
        correction_BLKHW: what the network adds to them.
    """

    scaled_BLFHW: Tensor
    prior_BLKHW: Tensor
    correction_BLKHW: Tensor


class GuidedModel(nn.Module):
    """Exceedance logits from predictors: a linear statistical model per lead, and a recurrent network on top of it.

    The network advances one step per lead. Its input are the advected fields for that time at several scales, and older
    observations advected to the same time (`models.guided.statistics`). Its initial correction is zero.

    Args:
        cell: name of a registered cell.
        multiscale: see `RecurrentStack`.
        hidden_channels, num_layers, kernel_size, skip: see `RecurrentStack`.
        rates_mmh: thresholds, ascending.
        leads: leads with weights of their own in the statistical model; later ones share the last.
        correction: share of the network's correction that counts; below 1 if held-out events score better so.
        patch: edge of the squares of grid cells that the network sees as one, with all their predictors as channels; it
            still corrects each grid cell individually. 2 costs a quarter.
        network: whether there is a network at all.
        prior: whether the statistical model counts in the sum.
    """

    def __init__(
        self,
        cell: str,
        *,
        multiscale: bool = True,
        hidden_channels: int = 32,
        num_layers: int = 6,
        kernel_size: int = 3,
        skip: str | None = None,
        rates_mmh: tuple[float, ...] = RATES_MMH,
        leads: int = 5,
        patch: int = 1,
        correction: float = 1.0,
        network: bool = True,
        prior: bool = True,
    ) -> None:
        super().__init__()
        self.rates_mmh = tuple(rates_mmh)
        self.prior, self.network, self.patch, self.correction = prior, network, patch, correction
        self._build_prior(leads)
        self.embed = nn.Conv2d(len(NAMES) * patch**2, hidden_channels, 1)
        self.stack = RecurrentStack(
            cell, hidden_channels, num_layers=num_layers, kernel_size=kernel_size, multiscale=multiscale, skip=skip
        )
        self.head = nn.Conv2d(hidden_channels, len(self.rates_mmh) * patch**2, 1)
        for parameter in self.head.parameters():
            nn.init.zeros_(parameter)

    def _build_prior(self, leads: int) -> None:
        """Build the statistical part; the names of buffers and parameters are those of stored checkpoints."""
        features, rates = len(NAMES), len(self.rates_mmh)
        self.mean_F: Tensor
        self.spread_F: Tensor  # the standard deviation
        self.register_buffer("mean_F", torch.zeros(features))
        self.register_buffer("spread_F", torch.ones(features))
        self.weight_LFK = nn.Parameter(torch.zeros(leads, features, rates))
        self.bias_LK = nn.Parameter(torch.full((leads, rates), -2.0))

    def forward(self, predictors_BLFHW: Tensor) -> Tensor:
        """Return the logits (B, L, K, H, W) of all leads."""
        parts = self.parts(predictors_BLFHW)
        return parts.prior_BLKHW + parts.correction_BLKHW

    def parts(self, predictors_BLFHW: Tensor) -> Parts:
        """Return the statistical model's logits, and the share of the network's correction that counts.

        Raises:
            InputError: not (B, L, F, H, W) with this model's predictors.
        """
        if predictors_BLFHW.ndim != 5 or predictors_BLFHW.shape[2] != len(NAMES):
            raise InputError(
                f"predictors: expected shape (batch, lead, {len(NAMES)}, rows, columns), "
                f"got {tuple(predictors_BLFHW.shape)}"
            )
        x_BLFHW = self._scaled(predictors_BLFHW)
        return Parts(x_BLFHW, self._statistical(x_BLFHW), self.correction * self._correction(x_BLFHW))

    @property
    def minimum_cells(self) -> int:
        """Return the smallest number of rows and of columns of an input; a stack halves its patches at every level."""
        return (2 ** max(self.stack.levels) - 1) * self.patch + 1 if self.network else 1

    def _scaled(self, predictors_BLFHW: Tensor) -> Tensor:
        """Scale predictors to mean 0 and standard deviation 1 over the training data, bounded."""
        shape_F = (len(NAMES), 1, 1)
        x_BLFHW = (predictors_BLFHW - self.mean_F.view(shape_F)) / self.spread_F.view(shape_F)
        return x_BLFHW.clamp(-LARGEST, LARGEST)

    def _statistical(self, x_BLFHW: Tensor) -> Tensor:
        steps = []
        for lead in range(x_BLFHW.shape[1]):
            own = min(lead, len(self.weight_LFK) - 1)
            kernel_KF11 = self.weight_LFK[own].T[:, :, None, None].contiguous()
            steps.append(nn.functional.conv2d(x_BLFHW[:, lead], kernel_KF11, self.bias_LK[own]))
        logits_BLKHW = torch.stack(steps, dim=1)
        return logits_BLKHW if self.prior else torch.zeros_like(logits_BLKHW)

    def _correction(self, x_BLFHW: Tensor) -> Tensor:
        batch, leads, _, rows, cols = x_BLFHW.shape
        if not self.network:
            return x_BLFHW.new_zeros(batch, leads, len(self.rates_mmh), rows, cols)
        state: StackState | None = None
        steps = []
        for lead in range(leads):
            x_BCHW = to_patches(x_BLFHW[:, lead], self.patch).to(self.embed.weight.dtype)
            y_BCHW, state, _ = self.stack(self.embed(x_BCHW), state)
            steps.append(from_patches(self.head(y_BCHW.to(self.head.weight.dtype)), self.patch, (rows, cols)))
        return torch.stack(steps, dim=1)


def guided_options() -> tuple[str, ...]:
    """Return the options of a guided model, besides those that every run has."""
    shared = ("cell", "multiscale", "hidden_channels", "num_layers", "kernel_size")
    return tuple(option for option in signature(GuidedModel).parameters if option not in shared)


def build_guided(name: str, **options: Any) -> GuidedModel:
    """Build a guided model by its cell's name, flat, or multi-scale with the prefix `ms-`.

    Raises:
        UnknownNameError: no cell has that name.
        InputError: an unknown option or an impossible number.
    """
    cell = name.removeprefix("ms-")
    CELLS.get(cell)
    try:
        return GuidedModel(cell, multiscale=name.startswith("ms-"), **options)
    except TypeError as err:
        raise InputError(f"options {', '.join(options)} for the guided {name}: {err}") from err
