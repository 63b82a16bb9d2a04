"""Models by name: every cell flat, and multi-scale with the prefix `ms-`."""

from typing import Any

from torch import nn

from core.errors import InputError
from core.registry import Registry
from models.cells import CELLS
from models.rollout import RecurrentModel

MULTISCALE = "ms-"
OPTIONS = ("skip", "memory_skip", "patch", "residual")


def list_models() -> list[str]:
    """The names that `build_model` takes."""
    return sorted([*CELLS.names(), *(MULTISCALE + name for name in CELLS.names())])


def build_model(
    name: str,
    *,
    in_channels: int = 1,
    hidden_channels: int = 64,
    num_layers: int = 6,
    kernel_size: int = 3,
    **options: Any,
) -> nn.Module:
    """A model that maps `frames_BTCHW` and `lead_steps=n` to (B, n, C, H, W).

    Args:
        name: a cell's name, flat, or with `ms-` before it, multi-scale.
        in_channels: channels of a frame.
        hidden_channels: channels of every layer (the paper: 64).
        num_layers: layers (the paper: 6).
        kernel_size: of the cell's convolutions (the paper: 3).
        **options: `skip` (none, unet, unet3+, full), `memory_skip`, `patch`, `residual`: see `RecurrentModel`.

    Raises:
        UnknownNameError: no model has that name; the message lists the near ones.
        InputError: an unknown option or an impossible number.
    """
    _names().get(name)
    try:
        return RecurrentModel(
            name.removeprefix(MULTISCALE),
            in_channels=in_channels,
            hidden_channels=hidden_channels,
            num_layers=num_layers,
            kernel_size=kernel_size,
            multiscale=name.startswith(MULTISCALE),
            **options,
        )
    except TypeError as err:
        raise InputError(f"options {options} for model {name!r}; {', '.join(OPTIONS)} are its options ({err})") from err


def _names() -> Registry[str]:
    names: Registry[str] = Registry("model")
    for name in list_models():
        names.register(name)(name)
    return names
