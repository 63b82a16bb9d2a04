"""Losses in network values: per frame and sample, a sum over observed pixels, as the paper has it."""

from collections.abc import Callable

import torch
from torch import Tensor

from core.registry import Registry

Loss = Callable[[Tensor, Tensor, Tensor], Tensor]
"""(prediction_BTCHW, target_BTCHW, weight_BTCHW) -> scalar; the weight is 0 where nothing was observed."""

LOSSES: Registry[Loss] = Registry("loss")


def _mean_of_sums(per_pixel_BTCHW: Tensor) -> Tensor:
    """Sum over channels and pixels, mean over frames and samples (`reference`, section 4)."""
    return per_pixel_BTCHW.sum(dim=(2, 3, 4)).mean()


@LOSSES.register("l1")
def l1(prediction_BTCHW: Tensor, target_BTCHW: Tensor, weight_BTCHW: Tensor) -> Tensor:
    """Sum of absolute differences."""
    return _mean_of_sums(weight_BTCHW * (prediction_BTCHW - target_BTCHW).abs())


@LOSSES.register("l2")
def l2(prediction_BTCHW: Tensor, target_BTCHW: Tensor, weight_BTCHW: Tensor) -> Tensor:
    """Sum of squared differences."""
    return _mean_of_sums(weight_BTCHW * (prediction_BTCHW - target_BTCHW).square())


@LOSSES.register("l1+l2")
def l1_l2(prediction_BTCHW: Tensor, target_BTCHW: Tensor, weight_BTCHW: Tensor) -> Tensor:
    """The paper's loss: both with equal weight (section 4.3, Table 11)."""
    difference_BTCHW = prediction_BTCHW - target_BTCHW
    return _mean_of_sums(weight_BTCHW * (difference_BTCHW.abs() + difference_BTCHW.square()))


BALANCE = {0.5: 1.0, 2.0: 2.0, 5.0: 5.0, 10.0: 10.0, 30.0: 30.0}
"""Weight of a pixel by the true rain rate in mm/h from each threshold on (paper's B-MSE and B-MAE)."""


def balance_weight(rate_mmh: Tensor, strength: float) -> Tensor:
    """1 + strength * (w - 1), w from the paper's table by the true rate; 0 where not observed (NaN).

    A strength of 0 counts every observed pixel alike, 1 is the paper's balanced score.
    """
    weight = torch.ones_like(rate_mmh)
    for threshold_mmh, value in BALANCE.items():
        weight = torch.where(rate_mmh >= threshold_mmh, 1.0 + strength * (value - 1.0), weight)
    return torch.where(torch.isnan(rate_mmh), torch.zeros_like(weight), weight)
