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


HEAVIEST_MMH = 30.0
"""Rates above this weigh no more: beyond lie hail and clutter."""


def rain_weight(rate_mmh: Tensor, balance: float) -> Tensor:
    """1 + balance * rate in mm/h, by the true rate up to `HEAVIEST_MMH`; 0 where not observed (NaN).

    Without it, a forecast that minimises the loss leaves out rain that is not certain, the more the heavier it is.
    A balance of 0 counts every observed pixel alike, as the paper's training does.
    """
    weight = 1.0 + balance * rate_mmh.clamp(0.0, HEAVIEST_MMH)
    return torch.nan_to_num(weight, nan=0.0)
