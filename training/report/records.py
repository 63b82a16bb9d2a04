"""Records: the permanent part of an evaluated run, without weights, from which a report can be made anywhere.

A record is a run folder without weights: `config.yaml`, the checkpoint's card, a thinned `metrics.csv` (losses,
seconds), `evaluation.json` and the forecast of one test clip. Records of runs on several machines may share a folder.
"""

import csv
import io
import json
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final
from zipfile import BadZipFile

import numpy as np
import yaml

from core.arrays import Float32Field
from core.errors import ConfigError, FrameError
from core.files import write_bytes_atomically
from core.grid import Grid
from models.checkpoint import CARD
from training.datasets import DATASETS
from training.report.runs import EVALUATION, TrainingRun
from training.trainer.metrics_file import HEAD

EXAMPLE: Final = "example.npz"
RECORDS: Final = "runs"
"""Folder of the records below a report's own."""
CURVE: Final = 40
"""Number of steps whose training loss a record keeps."""
PATHS: Final = ("data", "guided_cache")
KEPT: Final = ("train/loss", "train/seconds")


@dataclass(frozen=True)
class Example:
    """A run's forecast of one test clip, the first channel.

    Attributes:
        clip: number within the test set.
        past_THW: the given frames.
        future_THW: the true frames after them.
        forecast_THW: the forecast of the run's model.
        grid: where the fields are; None for images, and where unknown.
    """

    clip: int
    past_THW: Float32Field
    future_THW: Float32Field
    forecast_THW: Float32Field
    grid: Grid | None = None

    def rounded(self, *, is_rain: bool) -> "Example":
        """Round as a record does (rain to 0.01 mm/h, pictures to 1/256), so that figures are the same everywhere."""
        step = 100 if is_rain else 256
        fields = (self.past_THW, self.future_THW, self.forecast_THW)
        past, future, forecast = ((np.round(f * step) / step).astype(np.float16).astype(np.float32) for f in fields)
        return Example(self.clip, past, future, forecast, self.grid)


def record_of(run: TrainingRun, example: Example | None, folder: Path) -> None:
    """Write the record of an evaluated run into `folder`/NAME; the existing record of the same run is kept.

    Raises:
        ConfigError: the folder cannot be written to, or another run's record has the name.
    """
    record = folder / run.name
    if run.folder.resolve() == record.resolve():
        return
    _refuse_another(run, record)
    files = {
        "config.yaml": yaml.safe_dump(_without_paths(run.config), sort_keys=False).encode(),
        f"checkpoint/{CARD}": (json.dumps(run.card, indent=1) + "\n").encode(),
        "metrics.csv": _thinned(run.folder / "metrics.csv").encode(),
        EVALUATION: (json.dumps(run.evaluation, indent=1) + "\n").encode(),
    }
    if example is not None:
        files[EXAMPLE] = _packed(example)
    try:
        for name, content in files.items():
            write_bytes_atomically(record / name, content)
    except OSError as err:
        raise ConfigError(f"the record {record} cannot be written: {err.strerror}") from err


def read_example(run: TrainingRun) -> Example | None:
    """Return the clip that a record keeps, or None if it keeps none.

    Raises:
        ConfigError: the file is not such a clip.
    """
    path = run.folder / EXAMPLE
    if not path.is_file():
        return None
    try:
        with np.load(path, allow_pickle=False) as file:
            past, future, forecast = (file[name].astype(np.float32) for name in ("past", "future", "forecast"))
            grid = Grid.from_dict(json.loads(str(file["grid"]))) if "grid" in file else None
            return Example(int(file["clip"]), past, future, forecast, grid)
    except (OSError, ValueError, KeyError, BadZipFile, FrameError) as err:
        raise ConfigError(f"{path}: expected an example with past, future, forecast and clip") from err


def is_rain(run: TrainingRun) -> bool:
    """Return whether a run's frames are rain, by its data set."""
    return DATASETS.get(str(run.config["dataset"])).is_rain


def _packed(example: Example) -> bytes:
    fields = {"past": example.past_THW, "future": example.future_THW, "forecast": example.forecast_THW}
    file = io.BytesIO()
    halves: dict[str, Any] = {name: field.astype(np.float16) for name, field in fields.items()}
    if example.grid is not None:
        halves["grid"] = np.array(json.dumps(example.grid.to_dict()))
    np.savez_compressed(file, clip=np.int64(example.clip), **halves)
    return file.getvalue()


def _refuse_another(run: TrainingRun, record: Path) -> None:
    card = record / "checkpoint" / CARD
    try:
        known = json.loads(card.read_text())["sha256"] if card.is_file() else None
    except (ValueError, KeyError, TypeError) as err:
        raise ConfigError(f"{card}: expected the card of a checkpoint") from err
    if known not in (None, run.card["sha256"]):
        raise ConfigError(
            f"{record} is the record of another run of this name; rename {run.folder}, or remove that record"
        )


def _without_paths(config: dict[str, Any]) -> dict[str, Any]:
    """Replace paths of data, which are meaningless on another machine."""
    return {key: "DATA" if key in PATHS and value else value for key, value in config.items()}


def _thinned(metrics: Path) -> str:
    """Return all rows of validation, and training loss and seconds of evenly spread steps, the last included."""
    rows = list(csv.reader(metrics.read_text().splitlines()))[1:] if metrics.is_file() else []
    steps = sorted({int(step) for step, name, _ in rows if name in KEPT})
    kept = _spread(steps)
    chosen = [row for row in rows if row[1].startswith("validation/") or (row[1] in KEPT and int(row[0]) in kept)]
    text = io.StringIO()
    csv.writer(text, lineterminator="\n").writerows([HEAD, *chosen])
    return text.getvalue()


def _spread(steps: Iterable[int]) -> set[int]:
    found = list(steps)
    return {found[int(n)] for n in np.linspace(0, len(found) - 1, CURVE).round()} if found else set()
