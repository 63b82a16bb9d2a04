"""Exceedance logits of a cell from its predictors; the weights are smooth functions of lead time and cell size."""

from itertools import pairwise
from typing import Any, Final

import numpy as np
import torch
from torch import Tensor, nn

from core.errors import InputError
from models.guided.levels import CARRIED, COVERAGE, WINDOW
from models.guided.moving import MovingCorrection
from models.guided.network import RATES_MMH

KNOTS_MINUTES: Final = (5.0, 15.0, 30.0, 60.0, 105.0, 150.0)
"""Lead times that have weights of their own; between two, both count by the logarithm of the time."""
PIXELS_KM: Final = (1.0, 3.0, 10.0)
"""Cell sizes that have weights of their own, in the same way; beyond, those of the nearer one count."""
LARGEST: Final = 6.0
"""Bound of the predictors, in standard deviations."""
LIGHT_MMH: Final = 1.0
"""Below this threshold, logits under `LOW_LOGIT` (a probability of 0.03) are `LOW_STEEPNESS` times as far below it."""
LOW_LOGIT: Final = -3.5
LOW_STEEPNESS: Final = 1.5
FLATTENED: Final = {2.0: 0.93, 5.0: 0.93}
"""Factor of the logits by threshold. Both are from counts on spells left out of the fit, see decision 0062."""
PREDICTORS: Final = (*CARRIED, *COVERAGE, *WINDOW)


class PointwiseModel(nn.Module):
    """Logits of a cell: a linear model plus hidden units, each a half-wave of a linear combination.

    Both are sums over predictors before anything else, so that the predictors of one grid are combined there, and only
    the few sums are carried to a lead time and to the finest grid.

    Args:
        hidden: number of hidden units.
        rates_mmh: thresholds, ascending.
        network: options of the network that corrects the logits (`MovingCorrection`); None: there is none.
    """

    def __init__(
        self, *, hidden: int = 0, rates_mmh: tuple[float, ...] = RATES_MMH, network: dict[str, Any] | None = None
    ) -> None:
        super().__init__()
        self.rates_mmh, self.hidden = tuple(rates_mmh), hidden
        units, knots, sizes = hidden + len(self.rates_mmh), len(KNOTS_MINUTES), len(PIXELS_KM)
        self.mean_F: Tensor
        self.spread_F: Tensor
        self.register_buffer("mean_F", torch.zeros(len(PREDICTORS)))
        self.register_buffer("spread_F", torch.ones(len(PREDICTORS)))
        self.weight_TPFU = nn.Parameter(torch.randn(1, 1, len(PREDICTORS), units).repeat(knots, sizes, 1, 1) * 0.05)
        self.bias_TPU = nn.Parameter(torch.zeros(knots, sizes, units))
        self.head_UK = nn.Parameter(torch.zeros(hidden, len(self.rates_mmh)))
        with torch.no_grad():
            self.weight_TPFU[..., hidden:] = 0
            self.bias_TPU[..., hidden:] = torch.linspace(-2.5, -6.0, len(self.rates_mmh))
        self.network = None if network is None else MovingCorrection(**network)

    def mixed(self, minutes: float, pixel_km: float) -> tuple[Tensor, Tensor]:
        """Return weights (F, U) and bias (U) of a lead time and a cell size, for scaled predictors."""
        near_TP = nearness(KNOTS_MINUTES, minutes)[:, None] * nearness(PIXELS_KM, pixel_km)
        near_TP = near_TP.to(self.bias_TPU.device)
        return torch.einsum("tp,tpfu->fu", near_TP, self.weight_TPFU), torch.einsum("tp,tpu->u", near_TP, self.bias_TPU)

    def scaled(self, x_FN: Tensor, which: slice = slice(None)) -> Tensor:
        """Return predictors (F, ...), or the part `which` of them, with mean 0 and standard deviation 1, bounded."""
        shape = (-1, *(1,) * (x_FN.ndim - 1))
        centred_FN = x_FN - self.mean_F[which].view(shape)
        return (centred_FN / self.spread_F[which].view(shape)).clamp(-LARGEST, LARGEST)

    def logits(self, units_UN: Tensor) -> Tensor:
        """Return the logits (K, N) from the sums of the units."""
        if not self.hidden:
            return units_UN
        return units_UN[self.hidden :] + self.head_UK.T @ units_UN[: self.hidden].relu()

    def calibrated_KN(self, logits_KN: Tensor) -> Tensor:
        """Turn logits into calibrated probabilities that do not rise with the threshold; the logits are overwritten."""
        for logits_N, mmh in zip(logits_KN, self.rates_mmh, strict=True):
            if mmh < LIGHT_MMH:
                steeper_N = (logits_N - LOW_LOGIT).mul_(LOW_STEEPNESS).add_(LOW_LOGIT)
                torch.minimum(logits_N, steeper_N, out=logits_N)
            else:
                logits_N.mul_(FLATTENED.get(mmh, 1.0))
        for lower_N, higher_N in pairwise(logits_KN.sigmoid_()):
            torch.minimum(lower_N, higher_N, out=higher_N)
        return logits_KN

    def forward(self, x_NF: Tensor, minutes: float, pixel_km: float) -> Tensor:
        """Return the logits (N, K) of cells at one lead time and cell size."""
        weight_FU, bias_U = self.mixed(minutes, pixel_km)
        return self.logits((self.scaled(x_NF.T).T @ weight_FU + bias_U).T).T


def calibrated_logits(logits_KN: Tensor, rates_mmh: tuple[float, ...]) -> Tensor:
    """Return calibrated logits as `PointwiseModel.calibrated_KN` has them, without the order; for a gradient."""
    found = []
    for logits_N, mmh in zip(logits_KN, rates_mmh, strict=True):
        if mmh < LIGHT_MMH:
            found.append(torch.minimum(logits_N, LOW_LOGIT + LOW_STEEPNESS * (logits_N - LOW_LOGIT)))
        else:
            found.append(FLATTENED.get(mmh, 1.0) * logits_N)
    return torch.stack(found)


def nearness(knots: tuple[float, ...], value: float) -> Tensor:
    """Return the weight of each knot at a value: linear between two by logarithms; beyond, the nearest has all."""
    place = np.interp(np.log(value), np.log(knots), np.arange(len(knots)))
    return torch.from_numpy(np.clip(1 - np.abs(np.arange(len(knots)) - place), 0, 1).astype(np.float32))


def build_pointwise(name: str = "pointwise", **options: Any) -> PointwiseModel:
    """Build a pointwise model.

    Raises:
        InputError: an unknown name or option.
    """
    if name != "pointwise":
        raise InputError(f"architecture: expected pointwise, got {name}")
    try:
        return PointwiseModel(**options)
    except TypeError as err:
        raise InputError(f"options {', '.join(options)} for the pointwise model: {err}") from err
