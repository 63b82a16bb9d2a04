"""Forecasters by name: shipped checkpoints, checkpoint folders and baselines behind one call."""

from collections.abc import Callable
from functools import partial
from pathlib import Path

from core.registry import Registry
from models.baselines import Extrapolation, Persistence
from models.checkpoint import CARD, SHIPPED, load_network, shipped
from models.ensembles import SProg, StepsEnsemble
from models.forecaster import Forecaster

_METHODS: dict[str, Callable[[], Forecaster]] = {
    "persistence": Persistence,
    "extrapolation": Extrapolation,
    "sprog": SProg,
    "steps": StepsEnsemble,
}


def list_forecasters() -> list[str]:
    """Return the names that `load_forecaster` accepts besides folders."""
    return sorted({*shipped(), *_METHODS})


def load_forecaster(checkpoint: str | Path = "default", device: str = "auto", precision: str = "auto") -> Forecaster:
    """Load a forecaster, ready to use.

    Args:
        checkpoint: a shipped name (`default`), a baseline (`persistence`, `extrapolation`, `sprog`, `steps`), or a
            checkpoint's folder.
        device: auto, cpu, cuda, cuda:1, ...
        precision: auto, float32 or bfloat16, see `models.fast.ready`.

    Raises:
        UnknownNameError: no forecaster has that name; the message lists similar ones.
        InputError: the folder is not a checkpoint, or the machine has no such device.
    """
    folder = Path(checkpoint)
    if folder.parent != Path() or (folder / CARD).is_file():
        name = folder.parent.name if folder.name == "checkpoint" else folder.name
        return load_network(folder, name=name, device=device, precision=precision)
    names: Registry[Callable[[], Forecaster]] = Registry("model")
    for name, make in _METHODS.items():
        names.register(name)(make)
    for name in shipped():
        names.register(name)(partial(load_network, SHIPPED / name, name=name, device=device, precision=precision))
    return names.get(str(checkpoint))()
