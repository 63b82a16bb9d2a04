"""The Lightning module of guided models: cross-entropy of exceeding each rate, where the field was observed."""

from typing import Any, Final

import pytorch_lightning as pl
import torch
import torch.nn.functional as F
from torch import Tensor

from models.guided import GuidedModel, build_guided
from training.config import RunConfig
from training.guided_items import GuidedItems, GuidedSample
from training.learning_rate import share_of_rate

RATE_WEIGHTS: Final = {0.1: 0.5, 0.2: 0.7, 0.5: 1.0, 1.0: 1.2, 2.0: 1.6, 5.0: 2.0, 10.0: 2.0, 20.0: 1.0}
"""Rare events have little entropy; these bring the thresholds nearer to each other, and calibration does not mind."""
LOOKED_AT: Final = 400
"""Samples from which the predictors' means and spreads are taken."""


class ExceedanceModule(pl.LightningModule):
    """Trains the statistical part on its own loss, and the network on what that leaves."""

    def __init__(self, model: GuidedModel, config: RunConfig, *, total_steps: int) -> None:
        super().__init__()
        self.model = model.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
        self.config, self.total_steps = config, total_steps
        self.sums = torch.zeros(2, 2, dtype=torch.float64)

    def training_step(self, batch: GuidedSample) -> Tensor:
        """Both parts learn at once; the network's gradient does not reach the statistical part."""
        predictors_BLFHW, future_BLHW = batch
        prior_BLKHW, correction_BLKHW = self.model.parts(predictors_BLFHW)
        alone = self.loss(prior_BLKHW, future_BLHW)
        both = self.loss(prior_BLKHW.detach() + correction_BLKHW.float(), future_BLHW)
        self.log("train/loss", both, prog_bar=True, logger=False)
        return both + alone

    def validation_step(self, batch: GuidedSample) -> None:
        """Sums of both losses."""
        prior_BLKHW, correction_BLKHW = self.model.parts(batch.predictors_LFHW)
        losses = [
            self.loss(logits.float(), batch.future_LHW) for logits in (prior_BLKHW + correction_BLKHW, prior_BLKHW)
        ]
        size = len(batch.future_LHW)
        self.sums += torch.stack([torch.stack(losses).double().cpu() * size, torch.full((2,), float(size))])

    def on_validation_epoch_start(self) -> None:
        """Sums start anew."""
        self.sums = torch.zeros(2, 2, dtype=torch.float64)

    def on_validation_epoch_end(self) -> None:
        """Mean losses with the network and without it."""
        whole, alone = (self.sums[0] / self.sums[1]).tolist()
        self.log("validation/loss", whole, prog_bar=True)
        self.log("validation/loss_without_network", alone)

    def configure_optimizers(self) -> Any:
        """AdamW; the statistical part learns three times as fast."""
        config = self.config
        prior = [self.model.weight_LFK, self.model.bias_LK]
        own = {id(parameter) for parameter in prior}
        network = [parameter for parameter in self.parameters() if id(parameter) not in own]
        groups = [
            {"params": prior, "lr": 3 * config.learning_rate, "weight_decay": config.weight_decay},
            {"params": network, "lr": config.learning_rate, "weight_decay": config.weight_decay},
        ]
        optimiser = torch.optim.AdamW(groups)
        share = share_of_rate(config.learning_rate_schedule, self.total_steps, config.warmup_steps)
        rates = torch.optim.lr_scheduler.LambdaLR(optimiser, share)
        return {"optimizer": optimiser, "lr_scheduler": {"scheduler": rates, "interval": "step"}}

    def loss(self, logits_BLKHW: Tensor, future_BLHW: Tensor) -> Tensor:
        """Mean over observed cells of the weighted sum over rates."""
        seen_BLHW = torch.isfinite(future_BLHW)
        rates_K = future_BLHW.new_tensor(self.model.rates_mmh)[:, None, None]
        event_BLKHW = (torch.nan_to_num(future_BLHW)[:, :, None] >= rates_K).to(logits_BLKHW.dtype)
        weight_K = logits_BLKHW.new_tensor([RATE_WEIGHTS.get(mmh, 1.0) for mmh in self.model.rates_mmh])
        entropy_BLKHW = F.binary_cross_entropy_with_logits(logits_BLKHW, event_BLKHW, reduction="none")
        entropy_BLHW = (entropy_BLKHW * weight_K[:, None, None]).sum(dim=2)
        return (entropy_BLHW * seen_BLHW).sum() / seen_BLHW.sum().clamp_min(1)


def fit_scaling(model: GuidedModel, items: GuidedItems) -> None:
    """Take means and spreads of the predictors from evenly spaced samples."""
    count = min(len(items), LOOKED_AT)
    numbers = [i * len(items) // count for i in range(count)]
    total, squares, cells = 0.0, 0.0, 0
    for number in numbers:
        values = items[number].predictors_LFHW[..., ::4, ::4].double()
        total, squares = total + values.sum(dim=(0, 2, 3)), squares + values.square().sum(dim=(0, 2, 3))
        cells += values.numel() // values.shape[1]
    mean_F = total / cells
    model.mean_F.copy_(mean_F)
    model.spread_F.copy_((squares / cells - mean_F**2).clamp_min(0).sqrt() + 1e-3)


def build_exceedance(config: RunConfig, items: GuidedItems | None, total_steps: int) -> ExceedanceModule:
    """What Lightning trains; without items the scaling comes from a checkpoint."""
    sizes = {"hidden_channels": config.hidden_channels, "num_layers": config.num_layers}
    model = build_guided(config.model, **sizes, kernel_size=config.kernel_size, **config.model_options)
    if items is not None:
        fit_scaling(model, items)
    if config.compile:
        model.stack.compile()
    return ExceedanceModule(model, config, total_steps=total_steps)
