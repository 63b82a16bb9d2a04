"""Parameters of the reference implementation into ours, name by name; what does not fit is refused with its names.

The reference keeps one convolution per input under its own name; ours joins those that are summed (`JointConv2d`), with
the same weights inside.
"""

import re
from collections.abc import Mapping
from typing import Final

import torch
from torch import Tensor, nn

from core.errors import InputError

OURS: Final[Mapping[str, str]] = {
    "_conv_x2h": "gates.parts.0",
    "_conv_h2h": "gates.parts.1",
    "_conv_x2h_m": "memory_gates.parts.0",
    "_conv_m2h_m": "memory_gates.parts.1",
    "_conv_c2o": "output_gate.parts.0",
    "_conv_m2o": "output_gate.parts.1",
    "_conv_c_m": "merge",
}
_IN_OUT: Final[Mapping[str, str]] = {"embed.conv_embed": "embed", "fc.conv_fc": "head"}
_LAYER: Final = re.compile(r"rnns\.\w+\.(\d+)\.(\w+)\.(weight|bias)")


def convert(reference: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Rename a reference state dict (or the `param/` arrays of a golden file) to our names.

    Raises:
        InputError: names that no module of ours has.
    """
    ours: dict[str, Tensor] = {}
    left_over: list[str] = []
    for name, value in reference.items():
        target = our_name(name.removeprefix("param/"))
        if target is None:
            left_over.append(name)
        else:
            ours[target] = torch.as_tensor(value)
    if left_over:
        raise InputError(f"parameters {', '.join(left_over)} have no place in our models")
    return ours


def our_name(name: str) -> str | None:
    """Our name of one reference parameter, or None where there is none."""
    module, _, kind = name.rpartition(".")
    if module in _IN_OUT:
        return f"{_IN_OUT[module]}.{kind}"
    match = _LAYER.fullmatch(name)
    if match is None or match[2] not in OURS:
        return None
    return f"stack.cells.{match[1]}.{OURS[match[2]]}.{match[3]}"


def load_reference(model: nn.Module, reference: Mapping[str, Tensor]) -> None:
    """Put a reference checkpoint into a model of the same architecture.

    Raises:
        InputError: names missing or left over, or other shapes; the model is untouched then.
    """
    converted, own = convert(reference), model.state_dict()
    missing, extra = sorted(own.keys() - converted.keys()), sorted(converted.keys() - own.keys())
    shapes = [
        f"{k}: {tuple(converted[k].shape)} came, {tuple(own[k].shape)} was due"
        for k in own.keys() & converted.keys()
        if converted[k].shape != own[k].shape
    ]
    if missing or extra or shapes:
        raise InputError(f"checkpoint does not fit; missing: {missing}; left over: {extra}; shapes: {sorted(shapes)}")
    model.load_state_dict(converted)
