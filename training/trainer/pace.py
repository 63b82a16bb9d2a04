"""Loss, speed and memory of a run: a row every few steps, and a line of text where no bar is drawn."""

import logging
import resource
import sys
from time import perf_counter
from typing import Any, Final

import pytorch_lightning as pl
import torch
from pytorch_lightning.callbacks import Callback

log = logging.getLogger("training")
LINE_EVERY_S: Final = 60.0


class Pace(Callback):
    """Logs loss, seconds of training so far, samples per second, the share of time spent waiting for data, and memory.

    It logs the loss itself, since Lightning would do that after the checkpoint of the step is written.

    Args:
        batch_size: samples of a step, of all processes together.
        every: steps between two rows.
        total_steps: of the run.
        lines: write a line to the log about once a minute.
    """

    def __init__(self, batch_size: int, *, every: int, total_steps: int, lines: bool) -> None:
        self.batch_size, self.every, self.total_steps, self.lines = batch_size, every, total_steps, lines
        self.seconds = 0.0
        self._ended = self._spent_s = self._waited_s = 0.0
        self._steps = 0
        self._restart()
        self._line_at = perf_counter()

    def state_dict(self) -> dict[str, Any]:
        """Seconds of training."""
        return {"seconds": self.seconds}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Seconds of the parts before."""
        self.seconds = float(state_dict["seconds"])

    def on_train_start(self, *_: Any) -> None:
        """The clock starts."""
        self._restart()

    def on_train_batch_start(self, *_: Any) -> None:
        """Data are here."""
        self._waited_s += perf_counter() - self._ended

    def on_train_batch_end(self, trainer: pl.Trainer, *_: Any) -> None:
        """Count, and log if it is time."""
        now = perf_counter()
        self.seconds += now - self._ended
        self._spent_s += now - self._ended
        self._ended = now
        self._steps += 1
        if trainer.global_step % self.every == 0:
            self._log(trainer)

    def on_validation_end(self, *_: Any) -> None:
        """Validation is not counted."""
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
            logger.log_metrics(values, step=trainer.global_step - 1)  # as Lightning counts
        if self.lines and trainer.is_global_zero and perf_counter() - self._line_at > LINE_EVERY_S:
            self._line_at = perf_counter()
            left_min = (self.total_steps - trainer.global_step) * self.batch_size / speed / 60
            log.info(
                "step %d of %d: loss %.4g, %.3g samples/s, %.0f min left",
                trainer.global_step,
                self.total_steps,
                loss,
                speed,
                left_min,
            )
        self._restart()

    def _restart(self) -> None:
        self._ended = perf_counter()
        self._spent_s = self._waited_s = 0.0
        self._steps = 0


def peak_memory_mib() -> float:
    """The most that this process has held: of the GPU where there is one, else resident."""
    if torch.cuda.is_available():
        return float(torch.cuda.max_memory_allocated()) / 2**20
    unit = 1 if sys.platform == "darwin" else 1024
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit / 2**20
