"""The Lightning module of guided models: cross-entropy of exceeding each threshold, at observed cells."""

from typing import Any, Final

import pytorch_lightning as pl
import torch
import torch.nn.functional as F
from torch import Tensor

from models.device import constants
from models.guided.network import GuidedModel, build_guided
from training.config import RunConfig
from training.trainer.guided_items import GuidedItems, GuidedSample
from training.trainer.optimisers import configured
from training.trainer.prior import fit_prior

RATE_WEIGHTS: Final = {0.1: 0.5, 0.2: 0.7, 0.5: 1.0, 1.0: 1.5, 2.0: 2.5, 5.0: 4.0, 10.0: 5.0, 20.0: 4.0}
"""Weights of the thresholds, which balance that rare events have little entropy; calibration is unaffected."""


class ExceedanceModule(pl.LightningModule):
    """Trains the network on the remainder of the statistical part, fitted before it (`training.trainer.prior`)."""

    def __init__(self, model: GuidedModel, config: RunConfig, *, total_steps: int) -> None:
        super().__init__()
        model.weight_LFK.requires_grad_(False)
        model.bias_LK.requires_grad_(False)
        self.model = model.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
        self.config, self.total_steps = config, total_steps
        self.sums = torch.zeros(2, 2, dtype=torch.float64)

    def training_step(self, batch: GuidedSample) -> Tensor:
        """Return the cross-entropy of both parts together."""
        loss = self.loss(self.model(batch.predictors_LFHW).float(), batch.future_LHW)
        self.log("train/loss", loss, prog_bar=True, logger=False)
        return loss

    def validation_step(self, batch: GuidedSample) -> None:
        """Add the losses of both parts together and of the statistical part alone."""
        _, prior_BLKHW, correction_BLKHW = self.model.parts(batch.predictors_LFHW)
        both = (prior_BLKHW + correction_BLKHW, prior_BLKHW)
        losses = [self.loss(logits.float(), batch.future_LHW) for logits in both]
        size = len(batch.future_LHW)
        self.sums += torch.stack([torch.stack(losses).double().cpu() * size, torch.full((2,), float(size))])

    def on_validation_epoch_start(self) -> None:
        """Reset the sums of the losses."""
        self.sums = torch.zeros(2, 2, dtype=torch.float64)

    def on_validation_epoch_end(self) -> None:
        """Log the mean losses with the network and without it."""
        whole, alone = (self.sums[0] / self.sums[1]).tolist()
        self.log("validation/loss", whole, prog_bar=True)
        self.log("validation/loss_without_network", alone)

    def configure_optimizers(self) -> Any:
        """Return the optimiser of the network's parameters, AdamW if none is named, and the schedule of its rate."""
        learnt = [parameter for parameter in self.parameters() if parameter.requires_grad]
        return configured(learnt, self.config, self.total_steps, default="adamw")

    def loss(self, logits_BLKHW: Tensor, future_BLHW: Tensor) -> Tensor:
        """Return the mean over observed cells of the weighted sum over thresholds."""
        seen_BLHW = torch.isfinite(future_BLHW)
        rates_K = constants(self.model.rates_mmh, future_BLHW.dtype, future_BLHW.device)[:, None, None]
        event_BLKHW = (torch.nan_to_num(future_BLHW)[:, :, None] >= rates_K).to(logits_BLKHW.dtype)
        weights = tuple(RATE_WEIGHTS.get(mmh, 1.0) for mmh in self.model.rates_mmh)
        weight_K = constants(weights, logits_BLKHW.dtype, logits_BLKHW.device)
        entropy_BLKHW = F.binary_cross_entropy_with_logits(logits_BLKHW, event_BLKHW, reduction="none")
        entropy_BLHW = (entropy_BLKHW * weight_K[:, None, None]).sum(dim=2)
        return (entropy_BLHW * seen_BLHW).sum() / seen_BLHW.sum().clamp_min(1)


def build_exceedance(config: RunConfig, items: GuidedItems | None, total_steps: int) -> ExceedanceModule:
    """Build the Lightning module, its statistical part fitted to the items; without items a checkpoint provides it."""
    sizes = {"hidden_channels": config.hidden_channels, "num_layers": config.num_layers}
    model = build_guided(config.model, **sizes, kernel_size=config.kernel_size, **config.model_options)
    if items is not None:
        fit_prior(model, items, seed=config.seed)
    if config.compile:
        model.stack.compile()
    return ExceedanceModule(model, config, total_steps=total_steps)
