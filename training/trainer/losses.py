"""Losses in network values: a sum over the observed pixels of a frame and sample, as in the paper; one of members."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import ClassVar, Final

import torch
from torch import Tensor

from core.registry import Registry
from models.build import MODELS
from models.device import constants
from verification.balanced import EDGES_MMH, WEIGHTS

HEAVIEST_MMH: Final = 30.0
"""Rate from which the weight is constant: higher rates are mostly hail and clutter."""


def weight_by_rate(rate_mmh: Tensor, balance: float) -> Tensor:
    """Return 1 + balance * rate in mm/h, by the true rate up to `HEAVIEST_MMH`; 0 where not observed (NaN).

    Without the weight, a forecast that minimises the loss omits rain that is uncertain, heavy rain most of all.
    A balance of 0 counts every observed pixel alike, as the paper's training does.
    """
    weight = 1.0 + balance * rate_mmh.clamp(0.0, HEAVIEST_MMH)
    return torch.nan_to_num(weight, nan=0.0)


def weight_by_class(rate_mmh: Tensor, balance: float = 0.0) -> Tensor:
    """Return the weight of the scores B-MSE and B-MAE (`verification.balanced`); 0 for NaN. `balance` is not used."""
    del balance
    weights, edges_mmh = (constants(tuple(each), rate_mmh.dtype, rate_mmh.device) for each in (WEIGHTS, EDGES_MMH))
    weight = weights[torch.bucketize(rate_mmh.contiguous(), edges_mmh, right=True)]
    return torch.where(torch.isnan(rate_mmh), torch.zeros_like(weight), weight)


@dataclass(frozen=True)
class Loss:
    """A mean over frames and samples of sums over channels and pixels (`reference`, section 4).

    Attributes:
        per_pixel: of the difference between prediction and target.
        weight: of a pixel, by its true rate in mm/h and the configuration's `balance`.
        needs_rain: whether the loss is defined for rain only.
        of_members: whether it scores the members of an ensemble together, which stand side by side in the channels.
    """

    per_pixel: Callable[[Tensor], Tensor]
    weight: Callable[[Tensor, float], Tensor] = weight_by_rate
    needs_rain: bool = False
    of_members: ClassVar[bool] = False

    def __call__(self, prediction_BTCHW: Tensor, target_BTCHW: Tensor, weight_BTCHW: Tensor) -> Tensor:
        """Return the scalar loss; the weight is 0 where nothing was observed."""
        return (weight_BTCHW * self.per_pixel(prediction_BTCHW - target_BTCHW)).sum(dim=(2, 3, 4)).mean()


@dataclass(frozen=True)
class MemberLoss(Loss):
    """The continuous ranked probability score of members (Gneiting and Raftery 2007, eq. 21), summed as the others.

    Attributes:
        fair: None compares each member with all members, itself among them; alpha of 0 to 1 compares different members
            (1: fair, below: almost fair, Lang et al. 2024, arXiv:2412.15832, eq. 4).
    """

    fair: float | None = None
    of_members: ClassVar[bool] = True

    def __call__(self, prediction_BTCHW: Tensor, target_BTCHW: Tensor, weight_BTCHW: Tensor) -> Tensor:
        """Return the scalar loss of members that stand side by side in the channels of the prediction."""
        member_BTMCHW = torch.unflatten(prediction_BTCHW, 2, (-1, target_BTCHW.shape[2]))
        error_BTCHW = self.per_pixel(member_BTMCHW - target_BTCHW[:, :, None]).mean(dim=2)
        crps_BTCHW = error_BTCHW - self._spread(member_BTMCHW)
        return (weight_BTCHW * crps_BTCHW).sum(dim=(2, 3, 4)).mean()

    def _spread(self, member_BTMCHW: Tensor) -> Tensor:
        """Return half of the weighted mean difference of two members, from their order instead of all pairs."""
        members = member_BTMCHW.shape[2]
        if members == 1:
            return torch.zeros_like(member_BTMCHW[:, :, 0])
        rank_M = torch.arange(members, device=member_BTMCHW.device, dtype=member_BTMCHW.dtype)
        factor_M111 = (2 * rank_M - (members - 1))[:, None, None, None]
        pairs_BTCHW = (factor_M111 * member_BTMCHW.sort(dim=2).values).sum(dim=2)  # of each pair once
        if self.fair is None:
            return pairs_BTCHW / members**2
        return pairs_BTCHW * (1 - (1 - self.fair) / members) / (members * (members - 1))


def _both(difference: Tensor) -> Tensor:
    return difference.abs() + difference.square()


LOSSES: Registry[Loss] = Registry("loss")
LOSSES.register("l1")(Loss(torch.abs))
LOSSES.register("l2")(Loss(torch.square))
LOSSES.register("l1+l2")(Loss(_both))  # the paper's (section 4.3, Table 11): both with equal weight
LOSSES.register("b-mae")(Loss(torch.abs, weight_by_class, needs_rain=True))
LOSSES.register("b-mse")(Loss(torch.square, weight_by_class, needs_rain=True))
LOSSES.register("b-mae+b-mse")(Loss(_both, weight_by_class, needs_rain=True))  # the balanced loss of Shi et al. 2017
LOSSES.register("crps")(MemberLoss(torch.abs))
LOSSES.register("afcrps")(MemberLoss(torch.abs, fair=0.95))


def loss_of(model: str) -> str | None:
    """Return the loss of a model's own publication, None for a model that trains with any loss of a single forecast."""
    return getattr(MODELS.get(model), "loss", None) if model in MODELS else None
