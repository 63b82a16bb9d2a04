"""The card of a trained model: what it is, what it was trained on and by, and how it scored in validation."""

from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

from models.build import options_of
from models.guided.adaptation import ADAPTATION, Adaptation
from models.guided.fields import MATCHING, ProbabilityMatching
from models.guided.network import RATES_MMH
from training.config import RunConfig
from training.datasets import NowcastDataset


def architecture(config: RunConfig, dataset: NowcastDataset) -> dict[str, Any]:
    """Name and options, as `build_model` (or `build_guided`) takes them, for the channels of a data set's frames."""
    if config.objective == "exceedance":
        sizes = {"hidden_channels": config.hidden_channels, "num_layers": config.num_layers}
        return {"name": config.model, "options": {**sizes, "kernel_size": config.kernel_size, **config.model_options}}
    channels = dataset[0].past_TCHW.shape[1]
    sizes = {} if channels == 1 else {"in_channels": channels}
    own = {"input_steps": config.input_steps} if "input_steps" in options_of(config.model) else {}
    options = {
        "hidden_channels": config.hidden_channels,
        "num_layers": config.num_layers,
        "kernel_size": config.kernel_size,
        **sizes,
        **own,
        **config.model_options,
    }
    return {"name": config.model, "options": options}


def card(
    config: RunConfig,
    dataset: NowcastDataset,
    record: Mapping[str, Any],
    *,
    steps: int,
    validation: Mapping[str, float],
) -> dict[str, Any]:
    """The card that `models.checkpoint.save_model` writes.

    Args:
        config: the run's.
        dataset: its training part.
        record: see `run_folder.run_record`.
        steps: optimiser steps done.
        validation: the last scores by name.
    """
    revision = str(record["revisions"][-1])
    guided: dict[str, Any] = {}
    if config.objective == "exceedance":
        rates_mmh = config.model_options.get("rates_mmh", RATES_MMH)
        guided = {"rates_mmh": list(rates_mmh), "rebuild": MATCHING.to_dict(ProbabilityMatching())}
        if config.model_options.get("prior", True):  # a network alone is not helped by the statistical part
            guided["adaptation"] = ADAPTATION.to_dict(Adaptation())
    return {
        "kind": config.objective,
        "version": f"{datetime.now(UTC):%Y.%m.%d}+{revision[:7]}",
        "architecture": architecture(config, dataset),
        "transform": config.build_transform().to_dict(),
        "input_steps": config.input_steps,
        "lead_steps": config.lead_steps,
        "cadence_minutes": dataset.cadence_minutes,
        "pixel_m": dataset.pixel_m,
        "grid": {key: config.dataset_options.get(key) for key in ("height", "width")},
        "training": {
            "data": dataset.fingerprint,
            "steps": steps,
            "config": config.model_dump(mode="json", exclude={"data"}),
            "machines": list(record["machines"]),
            "finished": datetime.now(UTC).isoformat(timespec="seconds"),
        },
        "code_revision": revision,
        "code_revisions": list(record["revisions"]),
        "validation": dict(validation),
        **guided,
    }
