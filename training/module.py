"""The Lightning module: loss over all one-step predictions, scheduled sampling, scores of the forecast frames."""

from typing import Any

import pytorch_lightning as pl
import torch
from torch import Tensor

from models.rollout import RecurrentModel
from models.transforms import Transform
from training.config import RunConfig
from training.datasets import Sample
from training.losses import LOSSES, rain_weight
from training.schedules import SCHEDULES
from verification.counts import Counts, contingency


class NowcastModule(pl.LightningModule):
    """Trains one model by one resolved configuration."""

    def __init__(self, model: RecurrentModel, transform: Transform, config: RunConfig, *, total_steps: int, rain: bool):
        super().__init__()
        self.model = model.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
        self.transform, self.config, self.total_steps, self.rain = transform, config, total_steps, rain
        self.loss = LOSSES.get(config.loss)
        self.schedule = SCHEDULES.get(config.schedule)()
        self.counts: dict[float, Counts] = {}

    def training_step(self, batch: Sample) -> Tensor:
        """Loss over all T + lead - 1 predictions, as the paper (given frames count too), or over the leads alone."""
        past_BTCHW, future_BTCHW = batch
        use_truth_TB = self.schedule.use_truth_TB(
            self.global_step,
            self.total_steps,
            given=past_BTCHW.shape[1],
            leads=future_BTCHW.shape[1],
            first_sample=self.global_rank * past_BTCHW.shape[0],
            batch=past_BTCHW.shape[0],
            seed=self.config.seed,
        )
        predicted_BTCHW, own_loss = self.model.predict_with_loss(
            self.transform.encode(past_BTCHW),
            future_BTCHW.shape[1],
            future_BTCHW=self.transform.encode(future_BTCHW),
            use_truth_TB=torch.from_numpy(use_truth_TB),
        )
        every_BTCHW = torch.cat([past_BTCHW, future_BTCHW], dim=1)
        loss = self._loss(predicted_BTCHW, every_BTCHW[:, -predicted_BTCHW.shape[1] :])
        if own_loss is not None:
            loss = loss + own_loss
        self.log("train/loss", loss, prog_bar=True)
        return loss

    def validation_step(self, batch: Sample) -> None:
        """Loss of the forecast frames and, for rain, counts pooled over the leads."""
        past_BTCHW, future_BTCHW = batch
        predicted_BTCHW = self.model(self.transform.encode(past_BTCHW), lead_steps=future_BTCHW.shape[1])
        self.log("validation/loss", self._loss(predicted_BTCHW, future_BTCHW), prog_bar=True)
        if self.rain:
            forecast_mmh = self.transform.decode(predicted_BTCHW.float()).cpu().numpy()
            observed_mmh = future_BTCHW.float().cpu().numpy()
            for threshold_mmh in self.config.thresholds_mmh:
                new = contingency(forecast_mmh, observed_mmh, threshold_mmh)
                old = self.counts.get(threshold_mmh)
                self.counts[threshold_mmh] = new if old is None else old + new

    def on_validation_epoch_start(self) -> None:
        """Counts start anew."""
        self.counts = {}

    def on_validation_epoch_end(self) -> None:
        """Pooled scores; an undefined one is not logged."""
        for threshold_mmh, counts in self.counts.items():
            for score in ("csi", "hss", "bias"):
                value = counts.value(score)
                if value is not None:
                    self.log(
                        f"validation/{score}_{threshold_mmh:g}", value, prog_bar=(score, threshold_mmh) == ("csi", 0.5)
                    )

    def configure_optimizers(self) -> Any:
        """Adam at the paper's rate; `cosine` lets it fall to a hundredth over the run."""
        optimiser = torch.optim.Adam(self.parameters(), lr=self.config.learning_rate)
        if self.config.learning_rate_schedule == "constant":
            return optimiser
        cosine = torch.optim.lr_scheduler.CosineAnnealingLR(
            optimiser, self.total_steps, eta_min=self.config.learning_rate / 100
        )
        return {"optimizer": optimiser, "lr_scheduler": {"scheduler": cosine, "interval": "step"}}

    def _loss(self, predicted_BTCHW: Tensor, target_BTCHW: Tensor) -> Tensor:
        weight_BTCHW = rain_weight(target_BTCHW, self.config.balance) if self.rain else torch.ones_like(target_BTCHW)
        return self.loss(predicted_BTCHW.float(), self.transform.encode(target_BTCHW), weight_BTCHW)
