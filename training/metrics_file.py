"""A Lightning logger that appends to one CSV file, so that a resumed run goes on in it."""

import csv
from argparse import Namespace
from pathlib import Path
from typing import Any

from pytorch_lightning.loggers import Logger
from pytorch_lightning.utilities import rank_zero_only


class MetricsFile(Logger):
    """One row per step and metric: step, name, value."""

    def __init__(self, path: Path) -> None:
        super().__init__()
        self.path = path

    @property
    def name(self) -> str:
        """Lightning's name for a logger."""
        return "metrics"

    @property
    def version(self) -> str:
        """Lightning's version of a logger; a run folder has one."""
        return ""

    @rank_zero_only
    def log_hyperparams(self, params: dict[str, Any] | Namespace, *args: Any, **kwargs: Any) -> None:
        """Nothing: the resolved configuration stands in config.yaml."""

    @rank_zero_only
    def log_metrics(self, metrics: dict[str, float], step: int | None = None) -> None:
        """Append the metrics of a step."""
        new = not self.path.exists()
        with self.path.open("a", newline="") as file:
            rows = csv.writer(file)
            if new:
                rows.writerow(["step", "name", "value"])
            rows.writerows([step, name, value] for name, value in metrics.items() if name != "epoch")
