"""Renaming of the reference's parameters to ours; parameters that do not fit are refused by name.

The reference keeps one convolution per input under its own name; we join those that are summed (`JointConv2d`), with
the same weights inside.
"""

import re
from collections.abc import Mapping
from typing import Final

import torch
from torch import Tensor, nn

from core.errors import InputError

_NESTED: Final[Mapping[str, str]] = {  # MIM-N and MIM-S
    "_conv_x2h_n": "nested.change_gates.parts.0",
    "_conv_n2h_n": "nested.change_gates.parts.1",
    "_conv_diff2o": "nested.change_output.parts.0",
    "_conv_n2o": "nested.change_output.parts.1",
    "_conv_x2h_s": "nested.lasting_gates.parts.0",
    "_conv_c2h_s": "nested.lasting_gates.parts.1",
    "_conv_s2o": "nested.lasting_output",
}
_CASCADE: Final[Mapping[str, str]] = {  # PredRNN++; merged as PredRNN
    "_conv_x_h_c": "gates",
    "_conv_x_c_m": "memory_gates",
    "_conv_m": "memory_map",
    "_conv_o": "output_gate",
    "_conv_x": "highway.gates.parts.0",
    "_conv_z": "highway.gates.parts.1",
}
_PRECIP: Final[Mapping[str, str]] = {  # PrecipLSTM, besides what it shares with PredRNN
    "LA.conv1": "attention.query",
    "LA.conv2": "attention.key",
    "LA.conv3": "attention.value",
    "_conv_x_x_att": "attended",
    "_conv_x2h_ms": "spatial_gates.parts.0",
    "_conv_ms2h_ms": "spatial_gates.parts.1",
    "_conv_x2h_mt": "temporal_gates.parts.0",
    "_conv_mt2h_mt": "temporal_gates.parts.1",
    "_conv_ms2o": "output_gate.parts.2",
    "_conv_mt2o": "output_gate.parts.3",
    "c_m_ms_mt": "merge",
}
_EXPRESSION: Final[Mapping[str, str]] = {  # CMS-LSTM, besides ConvLSTM
    "convQ": "from_h",
    "convR": "from_x",
    **{
        f"SEBlock.stages.{n}.f_{part}": f"expression.scales.{n}.{part}"
        for n in range(3)
        for part in ("query", "key", "value")
    },
    "SEBlock.conv_bn": "expression.join",
    "SEBlock.w_z": "expression.merge",
    "SEBlock.w_h2h": "expression.gates.parts.0",
    "SEBlock.w_z2h": "expression.gates.parts.1",
}
_DETAIL: Final[Mapping[str, str]] = {  # MoDeRNN, besides ConvLSTM
    f"conv{kernel}{kernel}_{source.upper()}": f"from_{source}.parts.{n}"
    for n, kernel in enumerate((3, 5, 7))
    for source in ("h", "x")
}
OURS: Final[Mapping[str, str]] = {
    **_NESTED,
    **_CASCADE,
    **_PRECIP,
    **_EXPRESSION,
    **_DETAIL,
    "_conv_x2h": "gates.parts.0",
    "_conv_h2h": "gates.parts.1",
    "_conv_x2h_m": "memory_gates.parts.0",
    "_conv_m2h_m": "memory_gates.parts.1",
    "_conv_c2o": "output_gate.parts.0",
    "_conv_m2o": "output_gate.parts.1",
    "_conv_c_m": "merge",
}
_IN_OUT: Final[Mapping[str, str]] = {
    "embed.conv_embed": "embed",
    "fc.conv_fc": "head",
    "rnns.adapter": "stack.auxiliary.adapter",
}
_LAYER: Final = re.compile(r"rnns\.\w+\.(\d+)\.([\w.]+)\.(weight|bias)")
_UNUSED: Final = (  # parameters on which no prediction of the reference depends; dropped
    re.compile(rf"rnns\.\w+\.0\.({'|'.join(_NESTED)})\.(weight|bias)"),  # MIM: nothing is nested in the first layer
    re.compile(r"rnns\.\w+\.(?!1\.)\d+\._conv_[xz]\.(weight|bias)"),  # PredRNN++: one highway, in the second layer
)


def convert(reference: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Rename a reference state dict (or the `param/` arrays of a golden file) to our names.

    Parameters that the reference has but never uses are dropped.

    Raises:
        InputError: names that none of our modules has.
    """
    ours: dict[str, Tensor] = {}
    left_over: list[str] = []
    for name, value in reference.items():
        if any(pattern.fullmatch(name.removeprefix("param/")) for pattern in _UNUSED):
            continue
        target = our_name(name.removeprefix("param/"))
        if target is None:
            left_over.append(name)
        else:
            ours[target] = torch.as_tensor(value)
    if left_over:
        raise InputError(f"parameters {', '.join(left_over)} have no counterpart in our models")
    return ours


def our_name(name: str) -> str | None:
    """Return our name of a reference parameter, or None if there is none."""
    module, _, kind = name.rpartition(".")
    if module in _IN_OUT:
        return f"{_IN_OUT[module]}.{kind}"
    match = _LAYER.fullmatch(name)
    if match is None or match[2] not in OURS:
        return None
    return f"stack.cells.{match[1]}.{OURS[match[2]]}.{match[3]}"


def load_reference(model: nn.Module, reference: Mapping[str, Tensor]) -> None:
    """Load a reference checkpoint into a model of the same architecture.

    Raises:
        InputError: missing or superfluous names, or other shapes; the model is then unchanged.
    """
    converted, own = convert(reference), model.state_dict()
    missing, extra = sorted(own.keys() - converted.keys()), sorted(converted.keys() - own.keys())
    shapes = [
        f"{k}: expected {tuple(own[k].shape)}, got {tuple(converted[k].shape)}"
        for k in own.keys() & converted.keys()
        if converted[k].shape != own[k].shape
    ]
    if missing or extra or shapes:
        raise InputError(f"checkpoint does not fit; missing: {missing}; superfluous: {extra}; shapes: {sorted(shapes)}")
    model.load_state_dict(converted)
