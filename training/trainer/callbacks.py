"""Callbacks that report on a run while it trains: loss, speed and memory, and pictures for TensorBoard."""

import logging
import resource
import sys
from time import perf_counter
from typing import Any, Final

import numpy as np
import pytorch_lightning as pl
import torch
from numpy.typing import NDArray
from pytorch_lightning.callbacks import Callback
from torch import Tensor

from core.colours import colours
from core.progress import time_words
from training.loggers import DrawsPictures

log = logging.getLogger("training")
LINE_EVERY_S: Final = 60.0
GAP: Final = 2
"""Pixels between the frames of a picture."""


class Pace(Callback):
    """Logs loss, seconds of training so far, samples per second, the share of time spent waiting for data, and memory.

    It logs the loss itself, since Lightning would do so after the checkpoint of the step is written.

    Args:
        batch_size: samples of a step, of all processes together.
        every: steps between two rows.
        total_steps: of the run.
        lines: write a line to the log about once a minute.
        accumulate: batches of a step.
    """

    def __init__(self, batch_size: int, *, every: int, total_steps: int, lines: bool, accumulate: int = 1) -> None:
        self.accumulate = accumulate
        self.batch_size, self.every, self.total_steps, self.lines = batch_size, every, total_steps, lines
        self.seconds = 0.0
        self._ended = self._spent_s = self._waited_s = 0.0
        self._steps = 0
        self._restart()
        self._began = self._line_at = perf_counter()
        self._done = 0

    def state_dict(self) -> dict[str, Any]:
        """Return the seconds of training so far."""
        return {"seconds": self.seconds}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Take over the seconds of earlier parts of the run."""
        self.seconds = float(state_dict["seconds"])

    def on_train_start(self, *_: Any) -> None:
        """Start the clock of this part; the first line follows the first step."""
        self._restart()
        self._began, self._line_at, self._done = perf_counter(), float("-inf"), 0

    def on_train_batch_start(self, *_: Any) -> None:
        """Count the time since the last batch as waiting for data."""
        self._waited_s += perf_counter() - self._ended

    def on_train_batch_end(
        self, trainer: pl.Trainer, pl_module: pl.LightningModule, outputs: Any, batch: Any, batch_idx: int
    ) -> None:
        """Count the time, and with the last batch of a step the step; log every `every` steps."""
        del pl_module, outputs, batch
        now = perf_counter()
        self.seconds += now - self._ended
        self._spent_s += now - self._ended
        self._ended = now
        if (batch_idx + 1) % self.accumulate:
            return
        self._steps += 1
        self._done += 1
        if trainer.global_step % self.every == 0:
            self._log(trainer)
        if self.lines and trainer.is_global_zero and now - self._line_at > LINE_EVERY_S:
            self._line(trainer, now)

    def on_validation_end(self, *_: Any) -> None:
        """Leave the time of the validation out."""
        self._ended = perf_counter()

    def _log(self, trainer: pl.Trainer) -> None:
        speed = self._steps * self.batch_size / max(self._spent_s, 1e-9)
        loss = float(trainer.callback_metrics.get("train/loss", float("nan")))
        values = {
            "train/loss": loss,
            "train/seconds": round(self.seconds, 3),
            "train/samples_per_s": round(speed, 3),
            "train/wait_share": round(self._waited_s / max(self._spent_s, 1e-9), 4),
            "train/peak_memory_mib": round(peak_memory_mib(), 1),
        }
        for logger in trainer.loggers:
            logger.log_metrics(values, step=trainer.global_step - 1)  # Lightning counts steps from 0
        self._restart()

    def _line(self, trainer: pl.Trainer, now: float) -> None:
        """Log the loss, the speed, and an estimate of the remaining time."""
        self._line_at = now
        per_step_s = (now - self._began) / self._done
        log.info(
            "step %d of %d: loss %.4g, %.3g samples/s, about %s left",
            trainer.global_step,
            self.total_steps,
            float(trainer.callback_metrics.get("train/loss", float("nan"))),
            self.batch_size / max(per_step_s, 1e-9),
            time_words((self.total_steps - trainer.global_step) * per_step_s),
        )

    def _restart(self) -> None:
        self._ended = perf_counter()
        self._spent_s = self._waited_s = 0.0
        self._steps = 0


def peak_memory_mib() -> float:
    """Return the peak memory of this process: of the GPU if there is one, else resident."""
    if torch.cuda.is_available():
        return float(torch.cuda.max_memory_allocated()) / 2**20
    unit = 1 if sys.platform == "darwin" else 1024
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit / 2**20


class ForecastImages(Callback):
    """Draws the first validation clip at every validation."""

    def on_validation_batch_end(
        self,
        trainer: pl.Trainer,
        pl_module: pl.LightningModule,
        outputs: Any,
        batch: Any,
        batch_idx: int,
        *_: Any,
    ) -> None:
        """Draw the first clip of the first batch; `outputs` is the forecast in the units of the data."""
        if batch_idx > 0 or not trainer.is_global_zero:
            return
        picture_HWC = mosaic(batch[0][0], batch[1][0], outputs[0], is_rain=bool(pl_module.rain))
        for logger in trainer.loggers:
            if isinstance(logger, DrawsPictures):
                logger.draw("forecast", picture_HWC, trainer.global_step)


def mosaic(past_TCHW: Tensor, future_TCHW: Tensor, forecast_TCHW: Tensor, *, is_rain: bool) -> NDArray[np.uint8]:
    """Return two rows of frames as RGB, (H, W, 3); of several channels the first."""
    truth = [*past_TCHW[:, 0], *future_TCHW[:, 0]]
    below = [None] * len(past_TCHW) + list(forecast_TCHW[:, 0])
    height, width = past_TCHW.shape[-2:]
    whole_HWC = np.full((2 * (height + GAP), len(truth) * (width + GAP), 3), 128, np.uint8)
    for row, frames in enumerate((truth, below)):
        for column, frame_HW in enumerate(frames):
            if frame_HW is not None:
                top, left = row * (height + GAP), column * (width + GAP)
                whole_HWC[top : top + height, left : left + width] = _picture(frame_HW, is_rain=is_rain)
    return whole_HWC


def _picture(frame_HW: Tensor, *, is_rain: bool) -> NDArray[np.uint8]:
    values_HW = frame_HW.detach().float().cpu().numpy()
    if not is_rain:
        return np.repeat((values_HW.clip(0, 1) * 255).astype(np.uint8)[..., None], 3, axis=2)
    rgba_HWC = colours(values_HW).astype(np.float32)
    opacity_HWC = rgba_HWC[..., 3:] / 255
    return np.asarray(rgba_HWC[..., :3] * opacity_HWC + 255 * (1 - opacity_HWC), np.uint8)
