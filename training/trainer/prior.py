"""The statistical part of a guided model, fitted before the network: logistic regression on a sample of cells."""

from typing import Final

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from models.guided.network import LARGEST, GuidedModel
from training.trainer.guided_items import GuidedItems

CELLS_PER_LEAD: Final = 80
MOST_ITEMS: Final = 2400
ITERATIONS: Final = 80
RIDGE: Final = 0.1
"""Penalty on squared weights relative to each threshold's entropy; chosen by cross-validation over events."""


def fit_prior(model: GuidedModel, items: GuidedItems, *, seed: int = 0) -> None:
    """Fit the predictors' means and standard deviations, and each lead's weights.

    Args:
        model: is changed in place.
        items: cells are drawn from the first visit to each item, then from the second, up to the maximum.
        seed: of the draw.
    """
    rows_NF, rate_mmh_N, lead_N = _sample(items, np.random.default_rng((seed, 7)))
    model.mean_F.copy_(rows_NF.mean(dim=0))
    model.spread_F.copy_(rows_NF.std(dim=0) + 1e-3)
    scaled_NF = ((rows_NF - model.mean_F) / model.spread_F).clamp(-LARGEST, LARGEST)
    event_NK = (rate_mmh_N[:, None] >= rate_mmh_N.new_tensor(model.rates_mmh)).float()
    with torch.no_grad():
        for lead in range(len(model.weight_LFK)):
            own_N = lead_N == lead
            if own_N.any():
                weight_FK, bias_K = _regression(scaled_NF[own_N], event_NK[own_N])
                model.weight_LFK[lead], model.bias_LK[lead] = weight_FK, bias_K


def _sample(items: GuidedItems, random: np.random.Generator) -> tuple[Tensor, Tensor, Tensor]:
    """Return predictors, rates and leads of observed cells."""
    count = min(len(items), MOST_ITEMS)
    rows, rates, leads = [], [], []
    for number in range(count):
        predictors_LFHW, future_LHW = items[number]
        for lead, (predictors_FHW, future_HW) in enumerate(zip(predictors_LFHW, future_LHW, strict=True)):
            seen_N = np.flatnonzero(torch.isfinite(future_HW).numpy())
            if not seen_N.size:
                continue
            chosen_N = torch.from_numpy(random.choice(seen_N, min(CELLS_PER_LEAD, seen_N.size), replace=False))
            rows.append(predictors_FHW.flatten(1)[:, chosen_N].T)
            rates.append(future_HW.flatten()[chosen_N])
            leads.append(torch.full((len(chosen_N),), lead))
    return torch.cat(rows), torch.cat(rates), torch.cat(leads)


@torch.enable_grad()
def _regression(scaled_NF: Tensor, event_NK: Tensor) -> tuple[Tensor, Tensor]:
    """Fit weights and biases of all thresholds at once, by L-BFGS with a small penalty."""
    weight_FK = torch.zeros(scaled_NF.shape[1], event_NK.shape[1], requires_grad=True)
    bias_K = torch.logit(event_NK.mean(dim=0).clamp(1e-5, 1 - 1e-5)).requires_grad_()
    share_K = event_NK.mean(dim=0).clamp(1e-4, 1 - 1e-4)
    entropy_K = -share_K * share_K.log()
    optimiser = torch.optim.LBFGS([weight_FK, bias_K], max_iter=ITERATIONS, line_search_fn="strong_wolfe")

    def closure() -> Tensor:
        optimiser.zero_grad()
        logits_NK = scaled_NF @ weight_FK + bias_K
        cross_K = F.binary_cross_entropy_with_logits(logits_NK, event_NK, reduction="none").mean(dim=0)
        loss = (cross_K / entropy_K).sum() + RIDGE * weight_FK.square().sum()
        loss.backward()  # type: ignore[no-untyped-call]
        return loss

    optimiser.step(closure)  # type: ignore[no-untyped-call]
    return weight_FK.detach(), bias_K.detach()
