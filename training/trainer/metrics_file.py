"""A Lightning logger that appends to metrics.csv and metrics.jsonl, so that a resumed run continues in them."""

import csv
import io
import json
from argparse import Namespace
from pathlib import Path
from typing import Any

from pytorch_lightning.loggers import Logger
from pytorch_lightning.utilities import rank_zero_only

from core.files import write_bytes_atomically

HEAD = ["step", "name", "value"]


class MetricsFile(Logger):
    """Logger to CSV, one row per step and metric, and to JSON lines, one object per step and kind of metric.

    A step is the number of optimiser steps done; Lightning counts them from 0.

    Args:
        path: the CSV file; the other has the suffix .jsonl.
    """

    def __init__(self, path: Path) -> None:
        super().__init__()
        self.path = path
        self.lines = path.with_suffix(".jsonl")

    @property
    def name(self) -> str:
        """Return the name that Lightning requires of every logger."""
        return "metrics"

    @property
    def version(self) -> str:
        """Return an empty version; a run folder has only one."""
        return ""

    @rank_zero_only
    def log_hyperparams(self, params: dict[str, Any] | Namespace, *args: Any, **kwargs: Any) -> None:
        """Do nothing: the resolved configuration is in config.yaml."""

    @rank_zero_only
    def log_metrics(self, metrics: dict[str, float], step: int | None = None) -> None:
        """Append the metrics of a step."""
        done = (step or 0) + 1
        values = {name: float(value) for name, value in metrics.items() if name != "epoch"}
        if not values:
            return
        text = io.StringIO()
        rows = csv.writer(text, lineterminator="\n")
        if not self.path.exists():
            rows.writerow(HEAD)
        rows.writerows([done, name, value] for name, value in values.items())
        with self.path.open("a") as file:
            file.write(text.getvalue())
        with self.lines.open("a") as file:
            file.write(json.dumps({"step": done, **values}) + "\n")

    @rank_zero_only
    def go_on_after(self, step: int) -> None:
        """Drop entries of later steps, validation entries of this step, and a truncated last line.

        A checkpoint is written before the validation of its step, and a resumed run validates again.
        """
        if self.path.is_file():
            rows = [row for row in csv.reader(self.path.read_text().splitlines()) if _is_kept(row, step)]
            _rewrite(self.path, [",".join(row) for row in (HEAD, *rows)])
        if self.lines.is_file():
            kept = [line for line in self.lines.read_text().splitlines() if _is_kept_line(line, step)]
            _rewrite(self.lines, kept)


def last_values(path: Path, prefix: str) -> dict[str, float]:
    """Return the newest value of each metric whose name begins with `prefix`; empty without a file."""
    if not path.is_file():
        return {}
    rows = csv.DictReader(path.read_text().splitlines())
    return {row["name"]: float(row["value"]) for row in rows if row["name"].startswith(prefix)}


def _is_kept(row: list[str], step: int) -> bool:
    whole = len(row) == len(HEAD) and row[0].isdigit() and row[2] != ""
    return whole and (int(row[0]) < step or (int(row[0]) == step and not row[1].startswith("validation/")))


def _is_kept_line(line: str, step: int) -> bool:
    try:
        values = json.loads(line)
    except ValueError:
        return False
    return all(_is_kept([str(values.get("step", "")), name, "0"], step) for name in values if name != "step")


def _rewrite(path: Path, lines: list[str]) -> None:
    write_bytes_atomically(path, "".join(f"{line}\n" for line in lines).encode())
