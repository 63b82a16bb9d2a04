"""The resolved configuration of a run: preset, then file, then command line; an unknown key is an error."""

import os
from collections.abc import Mapping
from difflib import get_close_matches
from pathlib import Path
from typing import Any, Literal

import torch
import yaml
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from core.errors import ConfigError
from core.units import MAIN_THRESHOLDS_MMH
from models.build import options_of
from models.fast import number_type
from models.forecaster import pick_device
from models.guided.network import guided_options
from models.transforms import Transform, transform_from_dict
from training.datasets import DATASETS

PRESETS = Path(__file__).parent / "presets"
NESTED = ("model_options", "dataset_options")
HOW_IT_RUNS = frozenset({"data", "guided_cache", "devices", "workers", "recompute", "compile", "checkpoint_every"})
HOW_IT_IS_WATCHED = frozenset({"validate_every", "validation_clips", "thresholds_mmh", "log_every", "tensorboard"})
FREE_ON_RESUME = HOW_IT_RUNS | HOW_IT_IS_WATCHED | {"epochs", "max_steps", "early_stopping"}
"""Keys that a resumed run may change: how it is run, watched and ended, not what it trains."""


class RunConfig(BaseModel):
    """Everything that decides a training run; defaults are the paper's."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    dataset: str
    model: str = "ms-convlstm"
    data: Path | None = Field(None, description="file or folder; None is ./data/DATASET where that exists")
    input_steps: int = Field(5, ge=1)
    lead_steps: int = Field(5, ge=1)
    hidden_channels: int = Field(64, ge=1)
    num_layers: int = Field(6, ge=1)
    kernel_size: int = Field(3, ge=1)
    model_options: dict[str, Any] = Field(default_factory=dict, description="skip, residual, ...")
    dataset_options: dict[str, Any] = Field(default_factory=dict, description="see the data set's own page")
    transform: dict[str, Any] = Field(default_factory=lambda: {"name": "reflectivity"})
    loss: str = Field("l1+l2", description="l1, l2, l1+l2; weighted in steps by rain: b-mae, b-mse, b-mae+b-mse")
    objective: Literal["field", "exceedance"] = Field(
        "field", description="fields of rain, or probabilities of exceeding rates on top of advection"
    )
    balance: float = Field(0.0, ge=0, description="extra weight of a pixel in the loss per mm/h of true rain")
    schedule: str = "scheduled"
    learning_rate: float = Field(3e-4, gt=0)
    learning_rate_schedule: Literal["constant", "cosine"] = "constant"
    warmup_steps: int = Field(0, ge=0, description="first steps, over which the learning rate rises evenly")
    gradient_clip: float = Field(0.0, ge=0, description="norm that gradients are clipped to; 0 does not clip")
    weight_decay: float = Field(0.0, ge=0, description="of guided models, by AdamW")
    guided_crop: int = Field(64, ge=0, description="edge of the squares that a guided model trains on; 0: whole cuts")
    guided_visits: int = Field(8, ge=1, description="squares that are taken from each cut in an epoch")
    guided_cache: Path | None = Field(None, description="folder for predictors; None: .cache beside the data")
    ema_decay: float = Field(0.0, ge=0, lt=1, description="average the weights over steps, 0.999 say; 0 does not")
    batch_size: int = Field(4, ge=1, description="samples in a step, of all processes together")
    epochs: int = Field(20, ge=1)
    max_steps: int | None = Field(None, ge=1, description="optimiser steps; None is what the epochs take")
    validate_every: int = Field(0, ge=0, description="steps between validations; 0 is once per epoch")
    validation_clips: int = Field(64, ge=0, description="evenly spaced samples that are validated on; 0 is all")
    early_stopping: int = Field(0, ge=0, description="end after so many validations without a lower loss; 0 never")
    checkpoint_every: int = Field(500, ge=1, description="steps between writings of last.ckpt")
    precision: Literal["32-true", "bf16-mixed", "16-mixed"] = "32-true"  # `resolve` takes `auto` as well
    recompute: bool = Field(False, description="compute activations again in the backward pass, for less memory")
    compile: bool = Field(False, description="torch.compile the stack; needs a C++ compiler")
    devices: int = Field(1, ge=1, description="processes that share a batch")
    seed: int = 2022
    workers: int = Field(0, ge=0, description="processes that read data; 0 is a thread beside the training")
    thresholds_mmh: tuple[float, ...] = MAIN_THRESHOLDS_MMH
    log_every: int = Field(10, ge=1, description="steps between rows of metrics.csv and metrics.jsonl")
    tensorboard: bool = Field(False, description="also logs and pictures of forecasts for TensorBoard")

    def build_transform(self) -> Transform:
        """The transform between mm/h and network values.

        Raises:
            ConfigError: it has no such numbers.
        """
        try:
            return transform_from_dict(self.transform)
        except (KeyError, TypeError) as err:
            raise ConfigError(
                f"transform {self.transform}: {err}; a name with that transform's own keys was due"
            ) from err


def resolve(
    dataset: str, *, file: str | Path | None, sets: list[str], goes_on: bool = False, **given: Any
) -> RunConfig:
    """Preset of the data set, then the file, then the command line.

    Args:
        dataset: its name chooses the preset `training/presets/NAME.yaml`.
        file: a YAML file with any of `RunConfig`'s keys.
        sets: `key=value` texts; the value is YAML, the key one of the run's, the model's or the data set's.
        goes_on: the file is of a run that was begun, maybe on another machine: its precision is what `auto` means.
        **given: values of the command line's own options; None is "not given".

    Raises:
        ConfigError: an unknown key (the near ones are named), a wrong value, or a file that cannot be read.
    """
    preset = PRESETS / f"{dataset}.yaml"
    values: dict[str, Any] = {"dataset": dataset, **(_read(preset) if preset.is_file() else {})}
    if file is not None:
        _merge(values, _read(Path(file)))
    begun_with = values.get("precision") if goes_on else None
    _merge(values, {key: value for key, value in given.items() if value is not None})
    for text in sets:
        _set(values, *key_value(text))
    if processes := launched_processes():
        if given.get("devices") not in (None, processes):
            raise ConfigError(f"--devices {given['devices']}, but {processes} processes were launched for this run")
        values["devices"] = processes
    if values.get("precision") == "auto":
        values["precision"] = begun_with or precision_here()
    try:
        return RunConfig.model_validate(values)
    except ValidationError as err:
        raise ConfigError("; ".join(_problem(one) for one in err.errors())) from err


def precision_here() -> str:
    """What `precision: auto` is on this machine: bf16-mixed where it multiplies bfloat16, as forecasts choose too."""
    return "bf16-mixed" if number_type(pick_device("auto")) is torch.bfloat16 else "32-true"


def key_value(text: str) -> tuple[str, Any]:
    """Key and value of a `--set KEY=VALUE`; the value is YAML.

    Raises:
        ConfigError: there is no `=`, or the value is no YAML.
    """
    key, found, value = text.partition("=")
    if not found:
        raise ConfigError(f"--set {text!r}; KEY=VALUE was due")
    try:
        return key.strip(), yaml.safe_load(value)
    except yaml.YAMLError as err:
        raise ConfigError(f"--set {text!r}: the value is no YAML") from err


def _read(path: Path) -> dict[str, Any]:
    try:
        values = yaml.safe_load(path.read_text())
    except (OSError, UnicodeDecodeError, yaml.YAMLError) as err:
        raise ConfigError(f"configuration file {path} cannot be read: {' '.join(str(err).split())}") from err
    if not isinstance(values, dict):
        raise ConfigError(f"configuration file {path} holds {type(values).__name__}; keys with values were due")
    return values


def _merge(values: dict[str, Any], new: Mapping[str, Any]) -> None:
    for key, value in new.items():
        if key in NESTED and isinstance(value, dict):
            values[key] = {**values.get(key, {}), **value}
        else:
            values[key] = value


def _set(values: dict[str, Any], key: str, value: Any) -> None:
    """A key of the run itself, else an option of the model or of the data set."""
    if key in RunConfig.model_fields and key not in NESTED:
        values[key] = value
        return
    model = str(values.get("model", RunConfig.model_fields["model"].default))
    of_model = guided_options() if values.get("objective") == "exceedance" else options_of(model)
    options = {"model_options": of_model, "dataset_options": dataset_options(str(values["dataset"]))}
    for nested, names in options.items():
        if key in names:
            values[nested] = {**values.get(nested, {}), key: value}
            return
    known = [*RunConfig.model_fields, *options["model_options"], *options["dataset_options"]]
    near = get_close_matches(key, known, n=3, cutoff=0.5)
    raise ConfigError(
        f"unknown key {key!r}; {'did you mean ' + ', '.join(near) if near else 'there are ' + ', '.join(known)}"
    )


def is_first_process() -> bool:
    """Whether this is the process that writes, of those that a launcher started for one run (torchrun, Lightning)."""
    return os.environ.get("RANK", os.environ.get("LOCAL_RANK", "0")) == "0"


def launched_processes() -> int:
    """How many processes a launcher started for this run, on all machines; 0 where none did."""
    return int(os.environ.get("WORLD_SIZE", "0")) if {"RANK", "LOCAL_RANK"} & set(os.environ) else 0


def processes_here() -> int:
    """Those of them on this machine; 0 where no launcher says."""
    return int(os.environ.get("LOCAL_WORLD_SIZE", "0"))


def place_here() -> int:
    """Number of this process among those of this machine."""
    return int(os.environ.get("LOCAL_RANK", "0"))


def dataset_options(dataset: str) -> list[str]:
    """Names of a data set's own options."""
    return list(DATASETS.get(dataset).options_class.model_fields)


def _problem(error: Any) -> str:
    place = ".".join(map(str, error["loc"]))
    return f"{place}: {error['msg']} (came {error['input']!r})"
