"""Run folders and records for a report: what was trained, whether it is finished, and its evaluation."""

import csv
import json
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Any

import yaml

from core.errors import ConfigError, NowcastError
from models.build import MULTISCALE, recurrent_models
from models.checkpoint import CARD, WEIGHTS, read_card
from training.config import NESTED, PRESETS, RunConfig
from training.trainer.schedules import schedule_of

EVALUATION = "evaluation.json"
PLAIN = {"residual": False, "patch": 1, "memory_skip": "none"}
"""Options of a recurrent model as in the paper; a run with other values belongs to none of its rows."""


@dataclass(frozen=True)
class TrainingRun:
    """A finished training run with its configuration and evaluation.

    Attributes:
        folder: the run folder, or a record of it.
        config: its config.yaml.
        card: its checkpoint's JSON.
        evaluation: the result of `training.evaluate --json` for it; None if there is none yet.
    """

    folder: Path
    config: dict[str, Any]
    card: dict[str, Any]
    evaluation: dict[str, Any] | None = None

    @property
    def name(self) -> str:
        """Return the name of the run's folder."""
        return self.folder.name

    @property
    def has_weights(self) -> bool:
        """Return whether the run can forecast; a record cannot."""
        return (self.folder / "checkpoint" / WEIGHTS).is_file()

    @property
    def machines(self) -> list[str]:
        """Return the machines that it was trained on, in order; empty if its card names none."""
        return list(self.card.get("training", {}).get("machines", []))

    @property
    def model(self) -> str:
        """Return the name of the trained model."""
        return str(self.config["model"])

    @property
    def skip(self) -> str | None:
        """Return the kind of skips of a recurrent model, None for others."""
        if self.model not in recurrent_models():
            return None
        given = self.config.get("model_options", {}).get("skip")
        return str(given or default_skip(self.model))

    @property
    def variant(self) -> str:
        """Return how the run differs from every row of the paper; empty if it does not."""
        differs = {"balance": self.config.get("balance", 0.0) or None}
        if self.model in recurrent_models():
            options = self.config.get("model_options", {})
            differs |= {key: value for key, value in options.items() if key != "skip" and value != PLAIN.get(key)}
        return ", ".join(f"{key}={value}" for key, value in differs.items() if value is not None)

    @cached_property
    def setting(self) -> tuple[str, ...]:
        """Return the part of the configuration that runs of one table share."""
        keys = ["dataset", "dataset_options", "input_steps", "lead_steps", "batch_size"]
        steps = self.config.get("max_steps") or f"{self.config.get('epochs')} epochs"
        return (*(json.dumps(self.config.get(key), sort_keys=True) for key in keys), str(steps))

    @property
    def width(self) -> tuple[Any, ...]:
        """Return the size of a recurrent model; other models have sizes of their own."""
        return tuple(self.config.get(key) for key in ("hidden_channels", "num_layers", "kernel_size"))

    @cached_property
    def seconds(self) -> float | None:
        """Return the seconds of training, from the last row of the metrics that has them; None if none has."""
        path = self.folder / "metrics.csv"
        if not path.is_file():
            return None
        with path.open(newline="") as file:
            found = [row["value"] for row in csv.DictReader(file) if row.get("name") == "train/seconds"]
        return float(found[-1]) if found else None

    @property
    def scored_name(self) -> str:
        """Return the model's name within its evaluation."""
        return str((self.evaluation or {}).get("model", self.name))


def default_skip(model: str) -> str:
    """Return the skip of a recurrent model whose configuration names none."""
    return "unet" if model.startswith(MULTISCALE) else "none"


def all_runs(
    folders: Sequence[Path], evaluations: Path | None = None, *, forget: bool = False
) -> tuple[list[TrainingRun], dict[str, str]]:
    """Find the runs of several folders; of a run and its record, return the one with weights.

    Raises:
        ConfigError: a folder without any run, or two runs of one name.
    """
    known: dict[str, TrainingRun] = {}
    left_out: dict[str, str] = {}
    for folder in folders:
        runs, why = find_runs(folder, evaluations, forget=forget)
        left_out |= why
        for run in runs:
            other = known.get(run.name, run)
            if other.card["sha256"] != run.card["sha256"]:
                raise ConfigError(f"{other.folder} and {run.folder} are two runs of one name; rename one of them")
            best = max(other, run, key=lambda one: one.has_weights)
            evaluation = best.evaluation or (None if forget else other.evaluation or run.evaluation)
            known[run.name] = replace(best, evaluation=evaluation)
    return [known[name] for name in sorted(known)], {n: why for n, why in left_out.items() if n not in known}


def find_runs(
    folder: Path, evaluations: Path | None = None, *, forget: bool = False
) -> tuple[list[TrainingRun], dict[str, str]]:
    """Return the finished runs below a folder in order of their names, and why others are left out.

    Args:
        folder: holds run folders or records, or is one.
        evaluations: folder of NAME.json for each run, instead of files in the run folders.
        forget: do not read evaluations of runs that can be evaluated again.

    Raises:
        ConfigError: there is no run at all.
    """
    configs = sorted({*folder.glob("config.yaml"), *folder.glob("*/config.yaml")})
    if not configs:
        raise ConfigError(f"no run folder in {folder}: none holds a config.yaml")
    runs, left_out = [], {}
    for path in configs:
        if not (path.parent / "checkpoint" / CARD).is_file():
            left_out[path.parent.name] = "not finished: it has no checkpoint yet"
            continue
        try:
            config, card = _config(path), read_card(path.parent / "checkpoint")
            run = TrainingRun(path.parent, config, card)
            again = forget and run.has_weights
            known = None if again else read_evaluation(evaluation_file(run, evaluations), card)
            runs.append(replace(run, evaluation=known))
        except NowcastError as err:
            left_out[path.parent.name] = str(err)
    return runs, left_out


def _config(path: Path) -> dict[str, Any]:
    try:
        config = yaml.safe_load(path.read_text())
    except (OSError, UnicodeDecodeError, yaml.YAMLError) as err:
        raise ConfigError(f"{path} cannot be read: {err}") from err
    if not isinstance(config, dict) or not {"dataset", "model"} <= set(config):
        raise ConfigError(f"{path}: expected the configuration of a run, with `dataset` and `model`")
    return config


def evaluation_file(run: TrainingRun, evaluations: Path | None) -> Path:
    """Return the path of a run's evaluation."""
    return run.folder / EVALUATION if evaluations is None else evaluations / f"{run.name}.json"


def read_evaluation(path: Path, card: dict[str, Any]) -> dict[str, Any] | None:
    """Return the evaluation of these weights, or None if there is none.

    Raises:
        ConfigError: not an evaluation, or one of other weights.
    """
    if not path.is_file():
        return None
    try:
        evaluation = json.loads(path.read_text())
        of = evaluation["sha256"]
        complete = {"model", "overall", "paper", "by_lead", "windows", "frame_CHW"} <= set(evaluation)
    except (OSError, ValueError, KeyError, TypeError) as err:
        raise ConfigError(f"{path}: expected an evaluation written by training.evaluate --json") from err
    trained = card.get("training", {}).get("config", {}).get("dataset")
    if trained not in (None, evaluation.get("dataset")):
        raise ConfigError(
            f"{path}: expected an evaluation on {trained}, the run's own data set, got {evaluation.get('dataset')}"
        )
    if of != card["sha256"] or not complete:
        raise ConfigError(f"{path} is of other weights, or of an older version; evaluate again (--evaluate --again)")
    return dict(evaluation)


def command(run: TrainingRun) -> str:
    """Return the training command: the configuration's differences from its data set's preset and the defaults."""
    preset = PRESETS / f"{run.config['dataset']}.yaml"
    base: dict[str, Any] = yaml.safe_load(preset.read_text()) if preset.is_file() else {}
    parts = ["python -m training.run", f"--dataset {run.config['dataset']}", f"--model {run.model}"]
    if run.config.get("data"):
        parts.append("--data DATA")
    for key, value in run.config.items():
        if key in ("dataset", "model", "data"):
            continue
        known = RunConfig.model_fields.get(key)
        default = base.get(key, known.get_default(call_default_factory=True) if known else None)
        if key == "schedule" and key not in base:
            default = schedule_of(run.model)
        if key in NESTED:
            before = base.get(key, {})
            parts += [f"--set {k}={_yaml(v)}" for k, v in value.items() if v != before.get(k)]
        elif value != (list(default) if isinstance(default, tuple) else default):
            parts.append(f"--set {key}={_yaml(value)}")
    return " ".join(parts)


def _yaml(value: Any) -> str:
    text = json.dumps(value) if isinstance(value, list | dict) else yaml.safe_dump(value).splitlines()[0]
    return f"'{text}'" if " " in text else text


def by_setting(runs: Iterable[TrainingRun]) -> list[list[TrainingRun]]:
    """Group runs that may share a table; models without recurrence join every group of their data and budget."""
    runs = list(runs)
    groups: dict[tuple[Any, ...], list[TrainingRun]] = {}
    for run in runs:
        if run.skip is not None:
            groups.setdefault((run.setting, run.width), []).append(run)
    for run in [run for run in runs if run.skip is None]:
        joined = [group for (setting, _), group in groups.items() if setting == run.setting]
        for group in joined or [groups.setdefault((run.setting, ()), [])]:
            group.append(run)
    return list(groups.values())
