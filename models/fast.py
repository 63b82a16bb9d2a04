"""A model made ready to forecast: joined weights, the layout and the number type that the device is fastest with."""

from copy import deepcopy
from typing import Final, Literal, Protocol, TypeVar, runtime_checkable

import torch
from torch import nn

from core.errors import InputError
from models.guided.network import GuidedModel
from models.rollout import RecurrentModel

M = TypeVar("M", RecurrentModel, GuidedModel)
Precision = Literal["auto", "float32", "bfloat16"]
PRECISIONS: Final = ("auto", "float32", "bfloat16")


@runtime_checkable
class Mergeable(Protocol):
    """A layer that works its weight out anew at each call, and that has a plain layer which gives the same."""

    def merged(self) -> nn.Module:
        """The plain layer, with the weights as they are now."""


def ready(model: M, device: torch.device, precision: str = "auto") -> M:
    """A copy of a model for forecasts on a device; later training of the model does not change it.

    Args:
        model: as it was built or trained.
        device: where it will run.
        precision: of states and weights; frames, and the head that adds to them, stay float32. `auto` is bfloat16
            where the device multiplies matrices of it, else float32.

    Raises:
        InputError: another precision.
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
    """The number type of a precision on a device.

    Raises:
        InputError: a precision that is none of `PRECISIONS`.
    """
    if precision not in PRECISIONS:
        raise InputError(f"precision {precision!r}; one of {', '.join(PRECISIONS)} was due")
    fast = _multiplies_bfloat16(device) if precision == "auto" else precision == "bfloat16"
    return torch.bfloat16 if fast else torch.float32


def _multiplies_bfloat16(device: torch.device) -> bool:
    """Whether there are instructions for it; elsewhere bfloat16 is imitated, and slower than float32."""
    if device.type == "cuda":
        return bool(torch.cuda.is_bf16_supported(including_emulation=False))
    if device.type != "cpu":
        return False
    # `torch.backends.cpu` reports AVX levels alone, not AMX or AVX512-BF16, hence the private names; they are named in
    # tests/models/test_library_internals.py.
    return bool(torch.cpu._is_amx_tile_supported() or torch.cpu._is_avx512_bf16_supported())
