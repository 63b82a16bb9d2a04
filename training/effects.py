"""Keys of a configuration that would be accepted and have no effect on the run; each is an error."""

from collections.abc import Iterator
from typing import Any, Final

from pydantic import BaseModel

from models.build import MODELS, MULTISCALE
from models.cells import CELLS
from training.datasets import DATASETS
from training.trainer.schedules import schedule_of

GUIDED: Final = ("guided_crop", "guided_visits", "guided_cache")
"""Keys of the objective `exceedance` alone."""
FIELD: Final = ("loss", "balance", "transform", "recompute", "accumulate", "thresholds_mmh", "fsdp")
"""Keys of the objective `field` alone."""


def keys_without_effect(config: BaseModel) -> list[str]:
    """Return one sentence for each key that is set to another value than its default and has no effect.

    Args:
        config: a resolved `RunConfig`.
    """
    return [f"{key}: no effect {where}; got {getattr(config, key)!r}" for key, where in _unused(config)] + [
        f"memory_skip: no effect on {name}, whose cell has no zigzag memory" for name in _without_memory(config)
    ]


def _unused(config: Any) -> Iterator[tuple[str, str]]:
    other, keys = ("field", FIELD) if config.objective == "exceedance" else ("exceedance", GUIDED)
    yield from ((key, f"without objective={other}") for key in keys if _is_set(config, key))
    own = schedule_of(config.model)
    if config.objective == "exceedance" and config.schedule != own:
        yield "schedule", "without objective=field"
    elif config.model in MODELS and own == "own" != config.schedule:
        yield "schedule", f"on {config.model}, which gets no frame fed back (expected own)"
    if not DATASETS.get(config.dataset).is_rain and _is_set(config, "thresholds_mmh"):
        yield "thresholds_mmh", f"on {config.dataset}, which has no rain"
    if config.compile and not getattr(MODELS.get(config.model) if config.model in MODELS else None, "compiles", True):
        yield "compile", f"on {config.model}, whose training does not go through its forward pass"
    if config.fsdp and config.devices == 1:
        yield "fsdp", "on one process (expected torchrun --nproc-per-node N -m training.run, or --devices N)"
    if config.tf32 and config.precision != "32-true":
        yield "tf32", f"with precision {config.precision}"


def _is_set(config: Any, key: str) -> bool:
    default = type(config).model_fields[key].get_default(call_default_factory=True)
    return bool(getattr(config, key) != default)


def _without_memory(config: Any) -> Iterator[str]:
    cell = config.model.removeprefix(MULTISCALE)
    given = config.model_options.get("memory_skip", "none")
    if given != "none" and cell in CELLS and not CELLS.get(cell).uses_memory:
        yield config.model
