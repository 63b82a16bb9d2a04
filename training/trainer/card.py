"""The card of a trained model: what it is, what it was trained on and by, and how it scored in validation."""

from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

from models.guided.adaptation import ADAPTATION, Adaptation
from models.guided.fields import MATCHING, ProbabilityMatching
from models.guided.network import RATES_MMH
from training.config import RunConfig
from training.datasets import NowcastDataset


def card(
    config: RunConfig,
    architecture: Mapping[str, Any],
    dataset: NowcastDataset,
    record: Mapping[str, Any],
    *,
    steps: int,
    validation: Mapping[str, float],
) -> dict[str, Any]:
    """The card that `models.checkpoint.save_model` writes.

    Args:
        config: the run's.
        architecture: name and options of the model.
        dataset: its training part.
        record: see `run_folder.run_record`.
        steps: optimiser steps done.
        validation: the last scores by name.
    """
    revision, now = str(record["revisions"][-1]), datetime.now(UTC)
    return {
        "kind": config.objective,
        "version": f"{now:%Y.%m.%d}+{revision[:7]}",
        "architecture": dict(architecture),
        "transform": config.build_transform().to_dict(),
        "input_steps": config.input_steps,
        "lead_steps": config.lead_steps,
        "cadence_minutes": dataset.cadence_minutes,
        "pixel_m": dataset.pixel_m,
        "grid": {key: config.dataset_options.get(key) for key in ("height", "width")},
        "training": {"steps": steps, "finished": now.isoformat(timespec="seconds"), **_origin(config, dataset, record)},
        "code_revision": revision,
        "code_revisions": list(record["revisions"]),
        "validation": dict(validation),
        **_guided(config),
    }


def _origin(config: RunConfig, dataset: NowcastDataset, record: Mapping[str, Any]) -> dict[str, Any]:
    return {
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
    if config.model_options.get("prior", True):  # a network alone is not helped by the statistical part
        keys["adaptation"] = ADAPTATION.to_dict(Adaptation())
    return keys
