"""Checkpoints of a run: written atomically, regularly, and once more before it stops for a signal."""

import io
import math
import signal
import threading
from pathlib import Path
from types import FrameType, TracebackType
from typing import Any, Final, Self

import pytorch_lightning as pl
import torch
from pytorch_lightning.callbacks import Callback
from pytorch_lightning.plugins.io import TorchCheckpointIO

from core.errors import ConfigError, UnavailableError
from core.files import write_bytes_atomically
from training.trainer.run_folder import LAST, RUN

SIGNALS: Final = (signal.SIGTERM, signal.SIGINT)


class AtomicCheckpointIO(TorchCheckpointIO):
    """Replaces a checkpoint file atomically (Lightning's own writer uses another folder)."""

    def save_checkpoint(self, checkpoint: dict[str, Any], path: Any, *_: Any, **__: Any) -> None:
        """Write a checkpoint to a temporary name and rename it."""
        content = io.BytesIO()
        torch.save(checkpoint, content)
        write_bytes_atomically(Path(path), content.getvalue())


class StoppedError(UnavailableError):
    """The run stopped because it was asked to; it can be resumed."""


class TurnOverError(StoppedError):
    """The run stopped after the steps of its turn (`turn_steps`); it can be resumed."""


class DivergedError(ConfigError):
    """The loss is no longer finite; the last checkpoint is of a step at which it was."""


class StopSignals:
    """Within this context SIGTERM and the first SIGINT request a stop; a second SIGINT interrupts at once."""

    def __init__(self) -> None:
        self.requested = False
        self._before: dict[signal.Signals, Any] = {}

    def __enter__(self) -> Self:
        if threading.current_thread() is threading.main_thread():
            self._before = {number: signal.getsignal(number) for number in SIGNALS}
            self.listen()
        return self

    def __exit__(self, kind: type[BaseException] | None, err: BaseException | None, at: TracebackType | None) -> None:
        for number, handler in self._before.items():
            signal.signal(number, handler)

    def listen(self) -> None:
        """Install the handlers; called again after Lightning has installed its own."""
        for number in self._before:
            signal.signal(number, self._request)

    def _request(self, number: int, frame: FrameType | None) -> None:
        del frame
        if self.requested and number == signal.SIGINT:
            raise KeyboardInterrupt
        self.requested = True


class Keeper(Callback):
    """Writes `last.ckpt` every N steps, before each validation, before the last step, at the end, and on a stop.

    A checkpoint before a validation records that the validation is pending, and a resumed run begins with it; so all of
    a checkpoint belongs to one moment, and a run killed at any time continues exactly as it would have.

    Args:
        folder: the run folder.
        record: the run record, see `run_folder`.
        signals: requests to stop.
        every: steps between two checkpoints.
        validate_every: steps between two validations.
        total_steps: of the run.
        accumulate: batches of a step.
        last_of_turn: stop after this step as for a signal; None does not.
    """

    def __init__(
        self,
        folder: Path,
        record: dict[str, Any],
        signals: StopSignals,
        *,
        every: int,
        validate_every: int,
        total_steps: int,
        accumulate: int = 1,
        last_of_turn: int | None = None,
    ) -> None:
        self.accumulate = accumulate
        self.folder, self.record, self.signals = folder, record, signals
        self.last_of_turn = last_of_turn
        self.every, self.validate_every, self.total_steps = every, validate_every, total_steps
        self.validation_pending = False
        self.written: int | None = None

    def state_dict(self) -> dict[str, Any]:
        """Return whether the validation of this step is pending."""
        return {"validation_due": self.validation_pending}  # the key that stored checkpoints have

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Restore whether a validation is pending."""
        self.validation_pending = bool(state_dict["validation_due"])

    def on_save_checkpoint(
        self, trainer: pl.Trainer, pl_module: pl.LightningModule, checkpoint: dict[str, Any]
    ) -> None:
        """Add the run record to the checkpoint."""
        del trainer, pl_module
        checkpoint[RUN] = self.record

    def on_train_start(self, trainer: pl.Trainer, *_: Any) -> None:
        """Install the signal handlers; run the validation that was pending in the checkpoint."""
        self.signals.listen()
        self.written = trainer.global_step or None
        if self.validation_pending and trainer.enable_validation:
            trainer.validating = True
            # Lightning resumes a validation only in its middle and has no public way to run a whole one outside of its
            # own loop; tests/models/test_library_internals.py names what is used here.
            validation = trainer.fit_loop.epoch_loop.val_loop
            validation.restarting = False  # from its first clip
            validation.run()
            trainer.training = True

    def on_train_batch_end(
        self, trainer: pl.Trainer, pl_module: pl.LightningModule, outputs: Any, batch: Any, batch_idx: int
    ) -> None:
        """Write a checkpoint if it is time, and stop if requested; both after a whole step alone."""
        del pl_module, outputs, batch
        if (batch_idx + 1) % self.accumulate:
            return
        step = trainer.global_step
        if step >= self.total_steps:
            trainer.should_stop = True  # Lightning then validates once more before it ends
            return
        self.validation_pending = trainer.enable_validation and step % self.validate_every == 0
        stopping = trainer.strategy.reduce_boolean_decision(self.signals.requested, all=False)
        turn_over = step == self.last_of_turn
        if stopping or turn_over or self.validation_pending or step % self.every == 0 or step == self.total_steps - 1:
            self._write(trainer)
        if stopping:
            raise self._stopped(trainer)
        if turn_over:
            raise TurnOverError(str(self._stopped(trainer)))

    def on_validation_batch_end(self, trainer: pl.Trainer, *_: Any) -> None:
        """Leave a validation at once on a stop: its checkpoint exists. Processes that share a validation finish it."""
        if self.signals.requested and trainer.world_size == 1:
            raise self._stopped(trainer)

    def on_validation_end(self, *_: Any) -> None:
        """Record that no validation is pending."""
        self.validation_pending = False

    def on_train_epoch_end(self, trainer: pl.Trainer, *_: Any) -> None:
        """Write the last checkpoint: Lightning's only epoch is the whole run."""
        self.record["ended"] = True
        self._write(trainer)

    def _write(self, trainer: pl.Trainer) -> None:
        loss = float(trainer.callback_metrics.get("train/loss", 0.0))
        if not math.isfinite(loss):
            raise DivergedError(
                f"the loss is {loss} at step {trainer.global_step}; {self._kept()}. A lower learning_rate, a "
                "gradient_clip or precision 32-true may help"
            )
        try:
            trainer.save_checkpoint(self.folder / LAST, weights_only=False)
        except OSError as err:
            raise UnavailableError(
                f"the checkpoint of step {trainer.global_step} could not be written to {self.folder} ({err.strerror}); "
                f"{self._kept()}"
            ) from err
        self.written = trainer.global_step

    def _stopped(self, trainer: pl.Trainer) -> StoppedError:
        return StoppedError(
            f"stopped after step {trainer.global_step} of {self.total_steps}; --resume {self.folder} continues"
        )

    def _kept(self) -> str:
        return "no checkpoint was written" if self.written is None else f"{LAST} of step {self.written} is kept"
