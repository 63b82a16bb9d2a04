"""The Lightning module: loss over all one-step predictions, scheduled sampling, scores of the forecast frames."""

from collections.abc import Mapping
from typing import Any, Final

import numpy as np
import pytorch_lightning as pl
import torch
from torch import Tensor

from core.errors import ConfigError
from models.rollout import RecurrentModel
from models.transforms import Transform
from training.config import RunConfig
from training.datasets import Sample
from training.evaluation.engine import Measure
from training.trainer.loader import process_count
from training.trainer.losses import LOSSES
from training.trainer.optimisers import configured
from training.trainer.schedules import SCHEDULES
from training.trainer.sharded import gather, gathered_forward, is_sharded, release, shard
from verification.sums import Sums

HALF_BITS: Final = 31
"""The upper and the lower bits are summed separately over processes, so that no sum exceeds 64 bits."""


SHOWN: Final = "csi_0.5"
"""The score that the progress bar shows."""


class NowcastModule(pl.LightningModule):
    """Trains one model by one resolved configuration.

    Args:
        model: what is trained.
        transform: between data and the model's values.
        config: resolved.
        total_steps: of the whole run.
        rain: whether the data are rain in mm/h, else pictures.
        measures: scores of the forecast frames in validation, by label.

    Raises:
        ConfigError: a loss that is weighted by rain, for a data set of pictures.
    """

    allow_zero_length_dataloader_with_multiple_devices = True  # a process may have no validation clip

    def __init__(
        self,
        model: RecurrentModel,
        transform: Transform,
        config: RunConfig,
        *,
        total_steps: int,
        rain: bool,
        measures: Mapping[str, Measure] | None = None,
    ) -> None:
        super().__init__()
        self.model = model.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
        self.transform, self.config, self.total_steps, self.rain = transform, config, total_steps, rain
        self.loss = LOSSES.get(config.loss)
        _refuse_loss(config, has_members=hasattr(model, "draw_members"), rain=rain)
        self.schedule = SCHEDULES.get(config.schedule)(config.epochs)
        self.measures = dict(measures or {})
        self.kinds = {measure.totals_of: measure.score for measure in self.measures.values()}
        self.sums: dict[str, Sums] = {}
        self.summed_loss = torch.zeros(2, dtype=torch.float64)
        self._part = 0
        self._mean_loss: Tensor | float = 0.0

    def configure_model(self) -> None:
        """Distribute the weights over the processes if they share one copy."""
        if is_sharded(self.config):
            mesh: Any = self.device_mesh
            shard(self.model, mesh["data_parallel"])

    def on_train_batch_start(self, *_: Any) -> None:
        """Seed what a model draws at random in a step (dropout) by (seed, step, process and part of the batch)."""
        key = (self.config.seed, self.global_step, self.global_rank * self.config.accumulate + self._part)
        torch.manual_seed(int(np.random.SeedSequence(key).generate_state(1)[0]))

    def training_step(self, batch: Sample) -> Tensor:
        """Return the loss over all T + lead - 1 predictions, as the paper, or over the leads alone.

        With `accumulate` the batch is a part of a step; the draws of the schedule are those of the whole batch.
        """
        past_BTCHW, future_BTCHW = batch
        size, given = past_BTCHW.shape[:2]
        parts = self.config.accumulate
        use_truth_TB = self.schedule.use_truth_TB(
            self.global_step,
            self.total_steps,
            given=given,
            leads=future_BTCHW.shape[1],
            first_sample=(self.global_rank * parts + self._part) * size,
            batch=size,
            seed=self.config.seed,
        )
        every_BTCHW = torch.cat([past_BTCHW, future_BTCHW], dim=1)
        values_BTCHW = self.transform.encode(every_BTCHW)
        predicted_BTCHW, own_loss = self.model.predict_with_loss(
            values_BTCHW[:, :given],
            future_BTCHW.shape[1],
            future_BTCHW=values_BTCHW[:, given:],
            use_truth_TB=torch.from_numpy(use_truth_TB),
        )
        frames = predicted_BTCHW.shape[1]
        loss = self._loss(predicted_BTCHW, every_BTCHW[:, -frames:], values_BTCHW[:, -frames:])
        if own_loss is not None:
            loss = loss + own_loss
        self._mean_loss = (0.0 if self._part == 0 else self._mean_loss) + loss.detach() / parts
        self._part = (self._part + 1) % parts
        if self._part == 0:
            self.log("train/loss", self._mean_loss, prog_bar=True, logger=False, sync_dist=process_count() > 1)
        return loss

    def validation_step(self, batch: Sample) -> Tensor:
        """Add the loss and the sums of every score of the forecast frames, pooled over the leads; return the forecast.

        As in training, a cell's additional loss (PredRNN-V2's decoupling) is a part of it. The forecast of a model with
        members is their mean, taken of what the transform decodes.
        """
        past_BTCHW, future_BTCHW = batch
        leads = future_BTCHW.shape[1]
        every_BTCHW, own_loss = gathered_forward(self.model)(self.transform.encode(past_BTCHW), leads)
        predicted_BTCHW = every_BTCHW[:, -leads:]
        loss = self._loss(predicted_BTCHW, future_BTCHW)
        if own_loss is not None:
            loss = loss + own_loss
        self.summed_loss += torch.stack([loss.double().cpu() * len(past_BTCHW), torch.tensor(float(len(past_BTCHW)))])
        forecast_BTCHW: Tensor = self.transform.decode(predicted_BTCHW.float())
        if self.loss.of_members:
            forecast_BTCHW = torch.unflatten(forecast_BTCHW, 2, (-1, future_BTCHW.shape[2])).mean(dim=2)
        forecast, observed = forecast_BTCHW.cpu().numpy(), future_BTCHW.float().cpu().numpy()
        if not self.rain:  # NaN of a model that diverges is no cell without an observation
            forecast = np.nan_to_num(forecast, nan=0.0)
        for key, score in self.kinds.items():
            self.sums[key] = self.sums[key] + score.totals(forecast, observed)
        return forecast_BTCHW

    def on_validation_epoch_start(self) -> None:
        """Reset the sums of loss and scores."""
        self.sums = {key: score.sums() for key, score in self.kinds.items()}
        self.summed_loss = torch.zeros(2, dtype=torch.float64)
        gather(self.model)  # here, since a process may have no validation clip

    def on_validation_epoch_end(self) -> None:
        """Log the mean loss and the scores of all processes; an undefined score is not logged."""
        release(self.model)
        loss, samples = self._over_processes(self.summed_loss).tolist()
        self.log("validation/loss", loss / samples, prog_bar=True)
        whole = self._summed()
        for label, measure in self.measures.items():
            value = measure.score.value(whole[measure.totals_of])
            if np.isfinite(value):
                self.log(f"validation/{label}", value, prog_bar=label == SHOWN)

    def _summed(self) -> dict[str, Sums]:
        """Return the sums over all processes, which have the same keys in the same order."""
        numbers = [number for sums in self.sums.values() for number in sums.flat()]
        halves = [half for one in numbers for half in (one >> HALF_BITS, one & ((1 << HALF_BITS) - 1))]
        whole = self._reduced(torch.tensor(halves, dtype=torch.int64)).tolist()
        numbers = [(high << HALF_BITS) + low for high, low in zip(whole[::2], whole[1::2], strict=True)]
        found, start = {}, 0
        for key, sums in self.sums.items():
            length = len(sums.flat())
            found[key] = type(sums).from_flat(numbers[start : start + length])
            start += length
        return found

    def configure_optimizers(self) -> Any:
        """Return the optimiser (the paper's: Adam at a constant rate) and the schedule of its rate."""
        return configured(self.parameters(), self.config, self.total_steps, default="adam")

    def _loss(self, predicted_BTCHW: Tensor, target_BTCHW: Tensor, values_BTCHW: Tensor | None = None) -> Tensor:
        """Return the loss against the truth; `values_BTCHW` is the truth in network values if already computed."""
        if values_BTCHW is None:
            values_BTCHW = self.transform.encode(target_BTCHW)
        if self.rain:
            weight_BTCHW = self.loss.weight(target_BTCHW, self.config.balance)
        else:
            weight_BTCHW = torch.ones_like(target_BTCHW)
        return self.loss(predicted_BTCHW.float(), values_BTCHW, weight_BTCHW)

    def _over_processes(self, summed_loss: Tensor) -> Tensor:
        """Return the summed loss and the number of samples of all processes."""
        return self._reduced(summed_loss)

    def _reduced(self, sums: Tensor) -> Tensor:
        if process_count() == 1:
            return sums
        whole: Tensor = self.trainer.strategy.reduce(sums.to(self.device), reduce_op="sum")
        return whole.cpu()


def _refuse_loss(config: RunConfig, *, has_members: bool, rain: bool) -> None:
    """Refuse a loss that needs rain or members which are not there, or that ignores members which are."""
    loss = LOSSES.get(config.loss)
    if not rain and (loss.needs_rain or config.balance):
        raise ConfigError(
            f"loss {config.loss!r} with balance {config.balance} is weighted by rain; this data set has none"
        )
    if loss.needs_rain and config.balance:
        raise ConfigError(
            f"balance: expected 0 with loss {config.loss!r}, which has its own weights, got {config.balance}"
        )
    if loss.of_members != has_members:
        raise ConfigError(
            f"loss: expected {'crps or afcrps' if has_members else 'a loss of one forecast'} for {config.model}, "
            f"which has {'' if has_members else 'no '}members, got {config.loss}"
        )
