"""TensorBoard: files in the run folder, read by `tensorboard --logdir RUNS`."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from pytorch_lightning.loggers import Logger, TensorBoardLogger

from training.loggers.base import LOGGERS, RunLogger


class TensorBoardFiles(TensorBoardLogger):
    """Lightning's logger with pictures."""

    def draw(self, name: str, picture_HWC: NDArray[np.uint8], step: int) -> None:
        """Log an RGB picture."""
        self.experiment.add_image(name, picture_HWC, step, dataformats="HWC")


def _build(folder: Path, config: Mapping[str, Any]) -> Logger:
    del config  # it is in config.yaml
    return TensorBoardFiles(folder, name="tensorboard", version="")


LOGGERS.register("tensorboard")(RunLogger("tensorboard", _build))
