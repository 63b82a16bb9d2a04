"""The resolved configuration of a run: preset, then file, then command line; an unknown key is an error."""

import logging
import os
from collections.abc import Mapping
from difflib import get_close_matches
from pathlib import Path
from typing import Any, Literal

import torch
import yaml
from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from core.errors import ConfigError
from core.units import MAIN_THRESHOLDS_MMH
from models.build import options_of
from models.device import pick_device
from models.fast import number_type
from models.guided.network import guided_options
from models.transforms import Transform, transform_from_dict
from training.datasets import DATASETS
from training.effects import keys_without_effect
from training.trainer.losses import loss_of
from training.trainer.schedules import schedule_of

log = logging.getLogger("training")
PRESETS = Path(__file__).parent / "presets"
NESTED = ("model_options", "dataset_options")
HOW_IT_RUNS = frozenset(
    {"data", "guided_cache", "devices", "fsdp", "workers", "recompute", "compile", "checkpoint_every", "turn_steps"}
)
HOW_IT_IS_WATCHED = frozenset(
    {"validate_every", "validation_clips", "thresholds_mmh", "log_every", "tensorboard", "loggers", "profile"}
)
FREE_ON_RESUME = HOW_IT_RUNS | HOW_IT_IS_WATCHED | {"epochs", "max_steps", "early_stopping", "keep"}
"""Keys that a resumed run may change: how it runs, is watched and ends, not what it trains."""


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
    dataset_options: dict[str, Any] = Field(default_factory=dict, description="see the data set's module")
    transform: dict[str, Any] = Field(default_factory=lambda: {"name": "reflectivity"})
    loss: str = Field(
        "l1+l2",
        description="l1, l2, l1+l2; weighted in steps by rain: b-mae, b-mse, b-mae+b-mse; of members: crps, afcrps; "
        "without the key l1+l2, or that of a model with members",
    )
    objective: Literal["field", "exceedance"] = Field(
        "field", description="fields of rain, or probabilities of exceeding rates on top of advection"
    )
    balance: float = Field(0.0, ge=0, description="extra weight of a pixel in the loss per mm/h of true rain")
    schedule: str = Field(
        "scheduled", description="which true frames are fed in; without the key that of the model's paper"
    )
    learning_rate: float = Field(3e-4, gt=0)
    learning_rate_schedule: Literal["constant", "cosine"] = "constant"
    warmup_steps: int = Field(0, ge=0, description="first steps, over which the learning rate rises linearly")
    gradient_clip: float = Field(0.0, ge=0, description="norm to which gradients are clipped; 0 disables clipping")
    optimiser: str | None = Field(None, description="adam, adamw, ...; None is adam, of guided models adamw")
    weight_decay: float = Field(0.0, ge=0, description="of the optimiser; adam, rmsprop and sgd add it to the gradient")
    keep: Literal["best", "last"] = Field(
        "best", description="weights of the checkpoint: of the lowest validation loss, or of the last step"
    )
    guided_crop: int = Field(
        64, ge=0, description="edge of the squares that a guided model trains on; 0 is whole samples"
    )
    guided_visits: int = Field(8, ge=1, description="squares taken from each sample in an epoch")
    guided_cache: Path | None = Field(None, description="folder for predictors; None is .cache next to the data")
    ema_decay: float = Field(
        0.0, ge=0, lt=1, description="decay of the weights' moving average, for example 0.999; 0 disables it"
    )
    batch_size: int = Field(4, ge=1, description="samples in a step, of all processes together")
    accumulate: int = Field(1, ge=1, description="parts that a batch is computed in, one after the other: less memory")
    epochs: int = Field(20, ge=1)
    max_steps: int | None = Field(None, ge=1, description="optimiser steps; None is what the epochs take")
    validate_every: int = Field(0, ge=0, description="steps between validations; 0 is once per epoch")
    validation_clips: int = Field(64, ge=0, description="number of evenly spaced samples for validation; 0 is all")
    early_stopping: int = Field(0, ge=0, description="end after N validations without a lower loss; 0 never")
    checkpoint_every: int = Field(500, ge=1, description="steps between writings of last.ckpt")
    turn_steps: int = Field(0, ge=0, description="stop after N further steps, to be resumed later; 0 never stops")
    precision: Literal["32-true", "bf16-mixed", "16-mixed"] = "32-true"  # `resolve` takes `auto` as well
    tf32: bool = Field(False, description="on GPUs round products of float32 to 10 bits (TF32): faster, less exact")
    recompute: bool = Field(False, description="compute activations again in the backward pass, for less memory")
    compile: bool = Field(False, description="torch.compile the stack; needs a C++ compiler")
    devices: int = Field(1, ge=1, description="processes that share a batch")
    fsdp: bool = Field(False, description="the processes share one copy of weights, gradients and moments as well")
    seed: int = 2022
    workers: int = Field(0, ge=0, description="processes that read data; 0 reads in a thread of the training process")
    thresholds_mmh: tuple[float, ...] = MAIN_THRESHOLDS_MMH
    log_every: int = Field(10, ge=1, description="steps between rows of metrics.csv and metrics.jsonl")
    tensorboard: bool = Field(False, description="also logs and pictures of forecasts for TensorBoard")
    loggers: tuple[str, ...] = Field((), description="further loggers of metrics and pictures: wandb, mlflow")
    profile: int = Field(0, ge=0, description="steps to profile, after four others; 0 profiles none")

    @model_validator(mode="before")
    @classmethod
    def _what_follows_the_model(cls, values: Any) -> Any:
        if not isinstance(values, dict):
            return values
        model = str(values.get("model", cls.model_fields["model"].default))
        own = {"schedule": schedule_of(model), "loss": loss_of(model)}
        return {**{key: value for key, value in own.items() if value is not None}, **values}

    @property
    def further_loggers(self) -> tuple[str, ...]:
        """Return the names of all loggers besides the files of the run folder, each once."""
        return tuple(dict.fromkeys([*(["tensorboard"] if self.tensorboard else []), *self.loggers]))

    def build_transform(self) -> Transform:
        """Return the transform between mm/h and network values.

        Raises:
            ConfigError: the transform does not have these numbers.
        """
        try:
            return transform_from_dict(self.transform)
        except (KeyError, TypeError) as err:
            raise ConfigError(
                f"transform: expected a name with that transform's own keys, got {self.transform} ({err})"
            ) from err


def resolve(
    dataset: str, *, file: str | Path | None, sets: list[str], goes_on: bool = False, **given: Any
) -> RunConfig:
    """Resolve a configuration: preset of the data set, then the file, then the command line.

    Args:
        dataset: name of the data set, which selects the preset `training/presets/NAME.yaml`.
        file: a YAML file with any of `RunConfig`'s keys.
        sets: `key=value` texts; the value is YAML, the key is one of the run, the model or the data set.
        goes_on: the file is that of a run to resume, perhaps from another machine: `auto` is then its precision.
        **given: values of the command line's own options; None is "not given".

    Raises:
        ConfigError: an unknown key (the near ones are named), a wrong value, a key that has no effect on this run
            (a warning if it goes on), or a file that cannot be read.
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
            raise ConfigError(
                f"--devices {given['devices']}, but the launcher started {processes} processes for this run"
            )
        values["devices"] = processes
    if values.get("precision") == "auto":
        values["precision"] = begun_with or precision_here()
    try:
        config = RunConfig.model_validate(values)
    except ValidationError as err:
        raise ConfigError("; ".join(_problem(one) for one in err.errors())) from err
    if unused := keys_without_effect(config):
        if not goes_on:
            raise ConfigError("; ".join(unused))
        log.warning("keys without an effect on this run: %s", "; ".join(unused))
    return config


def precision_here() -> str:
    """Return what `precision: auto` is on this machine: bf16-mixed if it multiplies bfloat16, as forecasts choose."""
    return "bf16-mixed" if number_type(pick_device("auto")) is torch.bfloat16 else "32-true"


def key_value(text: str) -> tuple[str, Any]:
    """Return key and value of a `--set KEY=VALUE`; the value is YAML.

    Raises:
        ConfigError: the `=` is missing, or the value is not YAML.
    """
    key, found, value = text.partition("=")
    if not found:
        raise ConfigError(f"--set: expected KEY=VALUE, got {text!r}")
    try:
        return key.strip(), yaml.safe_load(value)
    except yaml.YAMLError as err:
        raise ConfigError(f"--set: expected a value in YAML, got {text!r}") from err


def _read(path: Path) -> dict[str, Any]:
    try:
        values = yaml.safe_load(path.read_text())
    except (OSError, UnicodeDecodeError, yaml.YAMLError) as err:
        raise ConfigError(f"configuration file {path} cannot be read: {' '.join(str(err).split())}") from err
    if not isinstance(values, dict):
        raise ConfigError(f"configuration file {path}: expected keys with values, got {type(values).__name__}")
    return values


def _merge(values: dict[str, Any], new: Mapping[str, Any]) -> None:
    for key, value in new.items():
        if key in NESTED and isinstance(value, dict):
            values[key] = {**values.get(key, {}), **value}
        else:
            values[key] = value


def _set(values: dict[str, Any], key: str, value: Any) -> None:
    """Set a key of the run itself, else an option of the model or of the data set."""
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
    """Return whether this process, of those that a launcher started for one run (torchrun, Lightning), writes files."""
    return os.environ.get("RANK", os.environ.get("LOCAL_RANK", "0")) == "0"


def launched_processes() -> int:
    """Return how many processes a launcher started for this run, on all machines; 0 without a launcher."""
    return int(os.environ.get("WORLD_SIZE", "0")) if {"RANK", "LOCAL_RANK"} & set(os.environ) else 0


def processes_here() -> int:
    """Return how many of the launched processes run on this machine; 0 without a launcher."""
    return int(os.environ.get("LOCAL_WORLD_SIZE", "0"))


def place_here() -> int:
    """Return the number of this process among those of this machine."""
    return int(os.environ.get("LOCAL_RANK", "0"))


def tracking_uri() -> str | None:
    """Return where MLflow's own environment variable wants the runs, None without one."""
    return os.environ.get("MLFLOW_TRACKING_URI") or None


def dataset_options(dataset: str) -> list[str]:
    """Return the names of a data set's own options."""
    return list(DATASETS.get(dataset).options_class.model_fields)


def _problem(error: Any) -> str:
    place = ".".join(map(str, error["loc"]))
    return f"{place}: {error['msg']}, got {error['input']!r}"
