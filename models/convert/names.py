"""Renaming of the reference's parameters to ours; parameters that do not fit are refused by name.

The reference keeps one convolution per input under its own name; we join those that are summed (`JointConv2d`), with
the same weights inside.
"""

import re
from collections.abc import Iterable, Mapping
from types import MappingProxyType
from typing import Final

import torch
from torch import Tensor, nn

from core.errors import InputError

NONE: Final[Mapping[str, str]] = MappingProxyType({})
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
_TRAJECTORY: Final[Mapping[str, str]] = {  # TrajGRU
    "_conv_x2h": "input_gates",
    "_conv_x2f": "flow_features.parts.0",
    "_conv_h2f": "flow_features.parts.1",
    "_conv_flow": "flows",
    "project": "state_gates",
}
_FIRST_TRAJECTORY: Final[Mapping[str, str]] = {  # TrajGRU of the first public version (5 x 5, 32 flow channels)
    "i2h": "input_gates",
    "i2f_conv1": "flow_features.parts.0",
    "h2f_conv1": "flow_features.parts.1",
    "flows_conv": "flows",
    "ret": "state_gates",
}
_MOTION: Final[Mapping[str, str]] = {  # MotionRNN, besides what it shares with MIM
    "_conv_enc": "motion.encode",
    "_conv_u": "motion.update",
    "_conv_r": "motion.reset",
    "_conv_z": "motion.candidate",
    "_conv_hm": "motion.weights",
    "_conv_dec": "motion.merge",
    "_deconv_dec": "motion.decode",
    "_conv_g": "motion.gate",
}
_DIALECTS: Final[Mapping[str, Mapping[str, str]]] = {
    "._conv_x2f.": _TRAJECTORY,
    ".i2f_conv1.": _FIRST_TRAJECTORY,
    "._conv_enc.": _MOTION,
}
"""Cells with names of their own, or that mean something else, by a part of a name that only these have."""
_IN_OUT: Final[Mapping[str, str]] = {
    "embed.conv_embed": "embed",
    "fc.conv_fc": "head",
    "rnns.adapter": "stack.auxiliary.adapter",
}
_LAYER: Final = re.compile(r"rnns\.\w+\.(\d+)\.([\w.]+)\.(weight|bias)")
_NOTHING_NESTED: Final = re.compile(rf"rnns\.\w+\.0\.({'|'.join(_NESTED)})\.(weight|bias)")  # MIM's first layer
_OTHER_HIGHWAYS: Final = re.compile(r"rnns\.\w+\.(?!1\.)\d+\._conv_[xz]\.(weight|bias)")  # of PredRNN++: one is used


def convert(reference: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Rename a reference state dict (or the `param/` arrays of a golden file) to our names.

    Parameters that the reference has but never uses are dropped.

    Raises:
        InputError: names that none of our modules has.
    """
    dialect = dialect_of(reference)
    unused = _unused(reference, dialect)
    ours: dict[str, Tensor] = {}
    left_over: list[str] = []
    for name, value in reference.items():
        if any(pattern.fullmatch(name.removeprefix("param/")) for pattern in unused):
            continue
        target = our_name(name.removeprefix("param/"), dialect)
        if target is None:
            left_over.append(name)
        else:
            ours[target] = _in_our_order(target, torch.as_tensor(value), dialect)
    if left_over:
        raise InputError(f"parameters {', '.join(left_over)} have no counterpart in our models")
    return ours


def dialect_of(reference: Iterable[str]) -> Mapping[str, str]:
    """Return the names of modules that only this cell's checkpoints have; empty for most cells."""
    names = list(reference)
    return next((own for part, own in _DIALECTS.items() if any(part in name for name in names)), {})


def _unused(reference: Iterable[str], dialect: Mapping[str, str]) -> list[re.Pattern[str]]:
    """Return patterns of parameters on which no prediction of the reference depends; these are dropped."""
    if dialect is not _MOTION:
        return [_NOTHING_NESTED, _OTHER_HIGHWAYS]
    last = max(int(match[1]) for name in reference if (match := _LAYER.fullmatch(name.removeprefix("param/"))))
    return [_NOTHING_NESTED, re.compile(rf"rnns\.\w+\.{last}\.({'|'.join(_MOTION)})\.(weight|bias)")]


def _in_our_order(target: str, value: Tensor, dialect: Mapping[str, str]) -> Tensor:
    """Return gates in our order (z, r, candidate); the first public TrajGRU has r before z."""
    if dialect is not _FIRST_TRAJECTORY or not ("input_gates" in target or "state_gates" in target):
        return value
    r, z, candidate = value.chunk(3)
    return torch.cat([z, r, candidate])


def our_name(name: str, dialect: Mapping[str, str] = NONE) -> str | None:
    """Return our name of a reference parameter, or None if there is none.

    Args:
        name: without `param/`.
        dialect: names of modules that stand for something else in this checkpoint (`dialect_of`).
    """
    ends, _, kind = name.rpartition(".")
    if ends in _IN_OUT:
        return f"{_IN_OUT[ends]}.{kind}"
    match = _LAYER.fullmatch(name)
    module = None if match is None else dialect.get(match[2], OURS.get(match[2]))
    if match is None or module is None:
        return None
    return f"stack.cells.{match[1]}.{module}.{match[3]}"


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
