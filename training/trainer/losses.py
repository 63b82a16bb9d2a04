"""Losses in network values: a sum over the observed pixels of a frame and sample, as in the paper."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

import torch
from torch import Tensor

from core.registry import Registry
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
    """

    per_pixel: Callable[[Tensor], Tensor]
    weight: Callable[[Tensor, float], Tensor] = weight_by_rate
    needs_rain: bool = False

    def __call__(self, prediction_BTCHW: Tensor, target_BTCHW: Tensor, weight_BTCHW: Tensor) -> Tensor:
        """Return the scalar loss; the weight is 0 where nothing was observed."""
        return (weight_BTCHW * self.per_pixel(prediction_BTCHW - target_BTCHW)).sum(dim=(2, 3, 4)).mean()


def _both(difference: Tensor) -> Tensor:
    return difference.abs() + difference.square()


LOSSES: Registry[Loss] = Registry("loss")
LOSSES.register("l1")(Loss(torch.abs))
LOSSES.register("l2")(Loss(torch.square))
LOSSES.register("l1+l2")(Loss(_both))  # the paper's (section 4.3, Table 11): both with equal weight
LOSSES.register("b-mae")(Loss(torch.abs, weight_by_class, needs_rain=True))
LOSSES.register("b-mse")(Loss(torch.square, weight_by_class, needs_rain=True))
LOSSES.register("b-mae+b-mse")(Loss(_both, weight_by_class, needs_rain=True))  # the balanced loss of Shi et al. 2017
