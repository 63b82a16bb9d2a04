"""A profile of a few training steps by PyTorch's profiler: a table, and a trace for a browser."""

import logging
from pathlib import Path
from typing import Any, Final

import pytorch_lightning as pl
import torch
from pytorch_lightning.callbacks import Callback
from torch.profiler import ProfilerActivity, profile, schedule

from core.files import write_bytes_atomically

log = logging.getLogger("training")
WAIT, WARM = 2, 2
"""Steps before the profiled ones: without the profiler, and with it but not recorded."""
TABLE: Final = "profile.txt"
TRACE: Final = "profile.json"
ROWS_OF_TABLE: Final = 40


class StepProfile(Callback):
    """Writes `profile.txt` and `profile.json` of some steps into the run folder.

    Args:
        folder: the run folder.
        steps: number of steps, after `WAIT + WARM` others.
        accumulate: batches of a step.
    """

    def __init__(self, folder: Path, steps: int, *, accumulate: int = 1) -> None:
        self.folder, self.steps, self.accumulate = folder, steps, accumulate
        self._profile: profile | None = None

    def on_train_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Start the profiler in the process that writes."""
        del pl_module
        if not trainer.is_global_zero:
            return
        kinds = [ProfilerActivity.CPU, *([ProfilerActivity.CUDA] if torch.cuda.is_available() else [])]
        plan = schedule(wait=WAIT, warmup=WARM, active=self.steps, repeat=1)
        self._profile = profile(activities=kinds, schedule=plan, record_shapes=True, on_trace_ready=self._write)
        self._profile.start()

    def on_train_batch_end(
        self, trainer: pl.Trainer, pl_module: pl.LightningModule, outputs: Any, batch: Any, batch_idx: int
    ) -> None:
        """Count a step, with the last of its batches."""
        del trainer, pl_module, outputs, batch
        if self._profile is None or (batch_idx + 1) % self.accumulate:
            return
        self._profile.step()

    def on_train_end(self, *_: Any) -> None:
        """Stop a profiler whose run was too short; it has written nothing."""
        self._stop()
        if not (self.folder / TABLE).is_file():
            log.warning("no profile: it needs %d steps and one more", WAIT + WARM + self.steps)

    def on_exception(self, *_: Any) -> None:
        """Stop the profiler of a run that ends early."""
        self._stop()

    def _write(self, done: profile) -> None:
        by = "self_device_time_total" if torch.cuda.is_available() else "self_cpu_time_total"
        text = done.key_averages(group_by_input_shape=True).table(sort_by=by, row_limit=ROWS_OF_TABLE)
        write_bytes_atomically(self.folder / TABLE, text.encode())
        done.export_chrome_trace(str(self.folder / TRACE))
        log.info("wrote %s and %s of %d steps", self.folder / TABLE, self.folder / TRACE, self.steps)

    def _stop(self) -> None:
        if self._profile is not None:
            self._profile.stop()
            self._profile = None
