"""Models by name: every cell, flat, or multi-scale with the prefix `ms-`; and the models that are no stack of cells."""

import json
from collections.abc import Callable, Iterable
from inspect import signature
from typing import Any

from torch import nn

from core.errors import InputError
from core.registry import Registry
from models.cells import CELLS
from models.cells.base import options_of_cell
from models.convgru_ensemble import ConvGRUEnsemble
from models.earthformer import Earthformer
from models.phydnet import PhyDNet
from models.rainnet import RainNet
from models.rollout import RecurrentModel
from models.simvp import SimVP
from models.simvp_v2 import SimVPv2
from models.smaat_unet import SmaAtUNet
from models.tau import TAU

MULTISCALE = "ms-"
MODELS: Registry[Callable[..., nn.Module]] = Registry("model", plug_ins="nowcast.models")
"""Factories of the models that are no stack of cells: the keywords of `build_model`, and further options."""

MODELS.register("simvp")(SimVP)
MODELS.register("simvp-v2")(SimVPv2)
MODELS.register("tau")(TAU)
MODELS.register("earthformer")(Earthformer)
MODELS.register("rainnet")(RainNet)
MODELS.register("smaat-unet")(SmaAtUNet)
MODELS.register("phydnet")(PhyDNet)
MODELS.register("convgru-ensemble")(ConvGRUEnsemble)

RECURRENT_OPTIONS = ("skip", "memory_skip", "patch", "residual")


def options_of(name: str) -> tuple[str, ...]:
    """Return the options of a model, besides the arguments that all models have."""
    cell = name.removeprefix(MULTISCALE)
    if name not in MODELS:
        return (*RECURRENT_OPTIONS, *(options_of_cell(cell) if cell in CELLS else ()))
    shared = signature(build_model).parameters
    return tuple(option for option in signature(MODELS.get(name)).parameters if option not in shared)


def list_models() -> list[str]:
    """Return the names that `build_model` accepts."""
    return sorted([*recurrent_models(), *MODELS.names()])


def recurrent_models() -> list[str]:
    """Return the names of the models that run a stack of cells frame by frame."""
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
    """Build a model that maps `frames_BTCHW` and `lead_steps=n` to (B, n, C, H, W).

    Args:
        name: a cell's name, flat, or with `ms-` before it, multi-scale; or one of `MODELS`.
        in_channels: channels of a frame.
        hidden_channels: channels of every layer (the paper: 64); of the spatial layers of SimVP, of Earthformer's
            finest attention.
        num_layers: layers (the paper: 6); modules of the translator of SimVP and its successors. Earthformer, RainNet,
            SmaAt-UNet, PhyDNet and the ConvGRU ensemble take no other number and have `depth`, `levels`,
            `lstm_channels` or `blocks` instead.
        kernel_size: of the cell's convolutions (the paper: 3), of SimVP's spatial ones, of all in Earthformer.
        **options: `skip` (none, unet, unet3+, full), `memory_skip`, `patch`, `residual`: see `RecurrentModel`; those of
            a cell (`links`, `rounds`, `window`), of `SimVP` and `Earthformer` are documented there.

    Raises:
        UnknownNameError: no model has that name; the message lists the near ones.
        InputError: an unknown option or an impossible number.
    """
    _names().get(name)
    sizes: dict[str, Any] = {
        "in_channels": in_channels,
        "hidden_channels": hidden_channels,
        "num_layers": num_layers,
        "kernel_size": kernel_size,
    }
    wrong = [option for option in options if option not in options_of(name)]
    if wrong:
        raise InputError(
            f"options of model {name!r}: expected some of {', '.join(options_of(name))}, got {', '.join(wrong)}"
        )
    if name in MODELS:
        return MODELS.get(name)(**sizes, **options)
    cell, multiscale = name.removeprefix(MULTISCALE), name.startswith(MULTISCALE)
    return RecurrentModel(cell, multiscale=multiscale, **sizes, **options)


def _names() -> Registry[str]:
    names: Registry[str] = Registry("model")
    for name in list_models():
        names.register(name)(name)
    return names


def parse_options(pairs: Iterable[str]) -> dict[str, Any]:
    """Return options from `--set key=value` texts; a value that is JSON (a number, true) is decoded, others are text.

    Raises:
        InputError: a pair without `=`.
    """
    options: dict[str, Any] = {}
    for pair in pairs:
        key, equals, value = pair.partition("=")
        if not equals:
            raise InputError(f"--set: expected key=value, got {pair}")
        try:
            options[key] = json.loads(value)
        except ValueError:
            options[key] = value
    return options
