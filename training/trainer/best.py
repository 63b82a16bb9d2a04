"""The weights of the lowest validation loss, kept next to the state that a run resumes from."""

import io
import math
from pathlib import Path
from typing import Any, Final

import pytorch_lightning as pl
import torch
from pytorch_lightning.callbacks import Callback
from torch import nn

from core.files import write_bytes_atomically
from training.trainer.run_folder import BEST, read_saved
from training.trainer.sharded import whole_weights

LOSS: Final = "validation/loss"


class BestWeights(Callback):
    """Writes `best.ckpt` after each validation whose loss is lower than that of every earlier one.

    It precedes Lightning's moving average in the list of callbacks: what it keeps are the weights that were validated,
    the averaged ones where there are some. A validation that is repeated after a stop changes nothing.

    Args:
        folder: the run folder.
    """

    def __init__(self, folder: Path) -> None:
        self.path = folder / BEST
        self.lowest = math.inf
        self._validated: dict[str, torch.Tensor] = {}

    def on_train_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Take over the lowest loss of earlier parts of the run; a run that begins anew has none, only a stale file."""
        del pl_module
        if trainer.global_step == 0 and trainer.is_global_zero:
            self.path.unlink(missing_ok=True)
        if trainer.global_step == 0:
            self.lowest = math.inf
            return
        self.lowest = float(read_saved(self.path)["loss"]) if self.path.is_file() else math.inf

    def on_validation_epoch_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Copy the validated weights: their loss is known only after other weights may have replaced them."""
        model: Any = pl_module.model
        self._validated = whole_weights(model, wanted=trainer.is_global_zero)

    def on_validation_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Write the weights if their loss is the lowest so far."""
        del pl_module
        scores = {name: float(value) for name, value in trainer.callback_metrics.items() if "validation/" in name}
        loss, weights = scores.get(LOSS, math.nan), self._validated
        self._validated = {}
        if not loss < self.lowest or not trainer.is_global_zero:
            return
        self.lowest = loss
        content = io.BytesIO()
        torch.save({"weights": weights, "step": trainer.global_step, "loss": loss, "scores": scores}, content)
        write_bytes_atomically(self.path, content.getvalue())


def load_best(folder: Path, model: nn.Module) -> dict[str, Any] | None:
    """Load the best weights of a run folder into a model.

    Returns:
        `step`, `loss` and `scores` of that validation; None without a validation, and the model is then unchanged.
    """
    path = folder / BEST
    if not path.is_file():
        return None
    saved = read_saved(path)
    model.load_state_dict(saved.pop("weights"))
    return saved
