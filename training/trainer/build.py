"""From a configuration to data sets and Lightning module, and to the card of the trained model."""

import logging
from collections.abc import Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, cast

from core.errors import ConfigError
from models.build import build_model, options_of
from models.guided.adaptation import ADAPTATION, Adaptation
from models.guided.fields import MATCHING, ProbabilityMatching
from models.guided.network import RATES_MMH
from models.rollout import RecurrentModel
from training.config import RunConfig
from training.datasets import NowcastDataset, build_dataset
from training.evaluation.clips import measures_of
from training.trainer.module import NowcastModule
from training.trainer.sharded import require_shardable

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
    if len(validation) == 0 and config.early_stopping:
        raise ConfigError(f"early_stopping: expected 0 without validation samples, got {config.early_stopping}")
    if len(validation) == 0:
        log.warning("no validation: the data are too short for a validation part next to the training windows")
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
        ConfigError: options that the model does not have, or keys that exclude each other.
    """
    require_shardable(config)
    built = architecture(config, dataset)
    try:
        model = cast(RecurrentModel, build_model(built["name"], **built["options"]))
    except (TypeError, ValueError) as err:
        raise ConfigError(f"options of {config.model}: {err}") from err
    model.recompute = config.recompute
    if config.compile:
        getattr(model, "stack", model).compile()
    return NowcastModule(
        model,
        config.build_transform(),
        config,
        total_steps=total_steps,
        rain=dataset.is_rain,
        measures=measures_of(dataset, config.thresholds_mmh),
    )


def card(
    config: RunConfig,
    dataset: NowcastDataset,
    record: Mapping[str, Any],
    *,
    steps: int,
    kept: Mapping[str, Any],
    validation: Mapping[str, float],
) -> dict[str, Any]:
    """Return the card that `models.checkpoint.save_model` writes.

    Args:
        config: configuration of the run.
        dataset: its training part.
        record: see `run_folder.run_record`.
        steps: number of optimiser steps done.
        kept: which weights the checkpoint has: of the best validation or the last ones, and of which step.
        validation: their scores by name.
    """
    revision, now = str(record["revisions"][-1]), datetime.now(UTC)
    return {
        "kind": config.objective,
        "version": f"{now:%Y.%m.%d}+{revision[:7]}",
        "architecture": architecture(config, dataset),
        "transform": config.build_transform().to_dict(),
        "input_steps": config.input_steps,
        "lead_steps": config.lead_steps,
        "cadence_minutes": dataset.cadence_minutes,
        "pixel_m": dataset.pixel_m,
        **dict(zip(("pixel_y_m", "pixel_x_m"), dataset.edges_m or (dataset.pixel_m,) * 2, strict=True)),
        "grid": {key: config.dataset_options.get(key) for key in ("height", "width")},
        "training": {"steps": steps, "weights": dict(kept), **_origin(config, dataset, record, now)},
        "code_revision": revision,
        "code_revisions": list(record["revisions"]),
        "validation": dict(validation),
        **_guided(config),
    }


def _origin(
    config: RunConfig, dataset: NowcastDataset, record: Mapping[str, Any], finished: datetime
) -> dict[str, Any]:
    return {
        "finished": finished.isoformat(timespec="seconds"),
        "data": dataset.fingerprint,
        "config": config.model_dump(mode="json", exclude={"data"}),
        "machines": list(record["machines"]),
    }


def _guided(config: RunConfig) -> dict[str, Any]:
    """Return the keys that only a guided model's card has."""
    if config.objective != "exceedance":
        return {}
    rates_mmh = config.model_options.get("rates_mmh", RATES_MMH)
    keys: dict[str, Any] = {"rates_mmh": list(rates_mmh), "rebuild": MATCHING.to_dict(ProbabilityMatching())}
    if config.model_options.get("prior", True):  # adaptation corrects the statistical part; without it there is no gain
        keys["adaptation"] = ADAPTATION.to_dict(Adaptation())
    return keys
