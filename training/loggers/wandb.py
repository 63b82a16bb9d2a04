"""Weights & Biases; `WANDB_MODE=offline` keeps a run on this machine, in the run folder, until `wandb sync`."""

import hashlib
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray
from pytorch_lightning.loggers import Logger, WandbLogger

from training.loggers.base import LOGGERS, RunLogger

PROJECT: Final = "ms-rnn-nowcast"


class WeightsAndBiases(WandbLogger):
    """Lightning's logger with pictures; it ends its run with the training, so that a process may have several."""

    def finalize(self, status: str) -> None:
        """Write what is left and end the run."""
        super().finalize(status)
        if self._experiment is not None:
            self._experiment.finish(exit_code=0 if status == "success" else 1)

    def draw(self, name: str, picture_HWC: NDArray[np.uint8], step: int) -> None:
        """Log an RGB picture."""
        self.log_image(name, [picture_HWC], step=step)


def _build(folder: Path, config: Mapping[str, Any]) -> Logger:
    """Build the logger. Its id is that of the folder, so that a resumed run goes on in its own curves."""
    digest = hashlib.sha256(str(folder.resolve()).encode()).hexdigest()[:16]
    return WeightsAndBiases(folder.name, folder, id=digest, project=PROJECT, resume="allow", config=dict(config))


LOGGERS.register("wandb")(RunLogger("wandb", _build))
