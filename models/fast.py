"""Preparation of a model for forecasts: joined weights, and the memory layout and number type that suit the device."""

from copy import deepcopy
from typing import Final, Protocol, TypeVar, runtime_checkable

import torch
from torch import nn

from core.errors import InputError
from models.guided.network import GuidedModel
from models.rollout import RecurrentModel

M = TypeVar("M", RecurrentModel, GuidedModel)
PRECISIONS: Final = ("auto", "float32", "bfloat16")


@runtime_checkable
class Mergeable(Protocol):
    """A layer that computes its weight at each call, and that can return an equivalent plain layer."""

    def merged(self) -> nn.Module:
        """Return the plain layer with the present weights."""


def ready(model: M, device: torch.device, precision: str = "auto") -> M:
    """Return a copy of a model for forecasts on a device; later training of the model does not change it.

    Args:
        model: the built or trained model.
        device: device of the copy.
        precision: of states and weights; frames, and the head that adds to them, stay float32. `auto` is bfloat16 if
            the device has instructions for its matrix products, else float32.

    Raises:
        InputError: an unknown precision.
    """
    dtype = number_type(device, precision)
    copy = deepcopy(model).eval().requires_grad_(False)
    for parent in list(copy.modules()):
        for name, child in parent.named_children():
            if isinstance(child, Mergeable):
                setattr(parent, name, child.merged().requires_grad_(False))
    copy.embed.to(dtype)
    copy.stack.to(dtype)
    return copy.to(device, memory_format=torch.channels_last)  # type: ignore[call-overload, no-any-return]


def number_type(device: torch.device, precision: str = "auto") -> torch.dtype:
    """Return the number type of a precision on a device.

    Raises:
        InputError: a precision that is none of `PRECISIONS`.
    """
    if precision not in PRECISIONS:
        raise InputError(f"precision: expected one of {', '.join(PRECISIONS)}, got {precision!r}")
    fast = _multiplies_bfloat16(device) if precision == "auto" else precision == "bfloat16"
    return torch.bfloat16 if fast else torch.float32


def _multiplies_bfloat16(device: torch.device) -> bool:
    """Return whether the device has instructions for bfloat16; without them it is emulated, and slower than float32."""
    if device.type == "cuda":
        return bool(torch.cuda.is_bf16_supported(including_emulation=False))
    if device.type != "cpu":
        return False
    # `torch.backends.cpu` reports AVX levels alone, not AMX or AVX512-BF16, hence the private names; they are named in
    # tests/models/test_library_internals.py.
    return bool(torch.cpu._is_amx_tile_supported() or torch.cpu._is_avx512_bf16_supported())
