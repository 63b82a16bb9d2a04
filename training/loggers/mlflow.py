"""MLflow: at `MLFLOW_TRACKING_URI`, without that in a database file of the run folder."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray
from pytorch_lightning.loggers import Logger, MLFlowLogger

from training.config import tracking_uri
from training.loggers.base import LOGGERS, RunLogger

EXPERIMENT: Final = "ms-rnn-nowcast"
RUN_ID: Final = "mlflow_run"
"""File of the run folder with the id of its run, which a resumed run continues."""
DATABASE: Final = "mlflow.db"


class MLflowRun(MLFlowLogger):
    """Lightning's logger with pictures, which are artifacts of the run."""

    def draw(self, name: str, picture_HWC: NDArray[np.uint8], step: int) -> None:
        """Log an RGB picture."""
        self.experiment.log_image(self.run_id, picture_HWC, f"{name}_{step:08d}.png")


def _build(folder: Path, config: Mapping[str, Any]) -> Logger:
    note, uri = folder / RUN_ID, tracking_uri()
    logger = MLflowRun(
        EXPERIMENT,
        folder.name,
        uri or f"sqlite:///{folder.resolve() / DATABASE}",
        artifact_location=None if uri else (folder.resolve() / "mlflow").as_uri(),
        run_id=note.read_text().strip() if note.is_file() else None,
    )
    if not note.is_file():
        note.write_text(f"{logger.run_id}\n")
        logger.log_hyperparams(dict(config))
    return logger


LOGGERS.register("mlflow")(RunLogger("mlflow", _build))
