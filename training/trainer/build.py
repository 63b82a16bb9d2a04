"""What a run trains: its data sets, the architecture of its model and its Lightning module."""

import logging
from pathlib import Path
from typing import Any, cast

from core.errors import ConfigError
from models.build import build_model, options_of
from models.rollout import RecurrentModel
from training.config import RunConfig
from training.datasets import NowcastDataset, build_dataset
from training.trainer.module import NowcastModule

log = logging.getLogger("training")


def build_datasets(config: RunConfig) -> tuple[NowcastDataset, NowcastDataset]:
    """Return the training and the validation set of a configuration.

    Raises:
        ConfigError: no such data, or options that do not fit.
    """
    default = Path("data") / config.dataset
    data = config.data or (default if default.exists() else None)
    if config.data is not None and not config.data.exists():
        raise ConfigError(f"no data at {config.data}; expected a file or folder of {config.dataset}")
    steps = {"input_steps": config.input_steps, "lead_steps": config.lead_steps, "seed": config.seed}
    training = build_dataset(config.dataset, data, "train", config.dataset_options, **steps)
    validation = build_dataset(config.dataset, data, "validation", config.dataset_options, **steps)
    if len(validation) == 0:
        log.warning("the data are too short for a validation part beside the training windows: there is no validation")
    return training, validation


def architecture(config: RunConfig, dataset: NowcastDataset) -> dict[str, Any]:
    """Return name and options, as `build_model` or `build_guided` takes them, for the channels of a data set."""
    options: dict[str, Any] = {"hidden_channels": config.hidden_channels, "num_layers": config.num_layers}
    options["kernel_size"] = config.kernel_size
    if config.objective == "field":
        channels = dataset[0].past_TCHW.shape[1]
        options |= {} if channels == 1 else {"in_channels": channels}
        options |= {"input_steps": config.input_steps} if "input_steps" in options_of(config.model) else {}
    return {"name": config.model, "options": {**options, **config.model_options}}


def build_module(config: RunConfig, dataset: NowcastDataset, total_steps: int) -> NowcastModule:
    """Build the Lightning module around the model of a configuration.

    Raises:
        ConfigError: options that the model does not have.
    """
    built = architecture(config, dataset)
    try:
        model = cast(RecurrentModel, build_model(built["name"], **built["options"]))
    except (TypeError, ValueError) as err:
        raise ConfigError(f"options of {config.model}: {err}") from err
    model.recompute = config.recompute
    if config.compile:
        getattr(model, "stack", model).compile()
    return NowcastModule(model, config.build_transform(), config, total_steps=total_steps, rain=dataset.is_rain)
