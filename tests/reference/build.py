"""Textbook models by name, and a copy of our parameters into them."""

import re
from functools import partial
from typing import Any, Final

from torch import nn

from core.errors import InputError
from tests.reference import cells_context as cells_context
from tests.reference import cells_lstm as cells_lstm
from tests.reference import cells_mim as cells_mim
from tests.reference import cells_precip as cells_precip
from tests.reference import flow as flow
from tests.reference.cell import CELLS
from tests.reference.stack import TextbookModel

MULTISCALE: Final = "ms-"
INPUTS: Final = {  # ours joins the convolutions that are summed: one letter per part, in its order
    "gates": "xh",
    "memory_gates": "xm",
    "output_gate": "cmst",
    "spatial_gates": "xs",
    "temporal_gates": "dt",
    "nested.change_gates": "dn",
    "nested.change_output": "dn",
    "nested.lasting_gates": "qc",
    "highway.gates": "xz",
    "flow_features": "xh",
    "expression.gates": "hz",
    "from_h": "357",
    "from_x": "357",
}
_PART: Final = re.compile(r"(cells\.\d+)\.([\w.]+)\.parts\.(\d)\.(weight|bias)")


def build_textbook(name: str, *, hidden_channels: int = 64, num_layers: int = 6, **options: Any) -> nn.Module:
    """Build the textbook model that `models.build_model` has under the same name, for frames of one channel.

    Args:
        name: a cell's name, or `ms-` and a cell's name.
        hidden_channels: of every layer.
        num_layers: layers.
        **options: of the cell: `links`, `flow_kernel`, `flow_channels` of TrajGRU.

    Raises:
        UnknownNameError: no cell has that name.
    """
    cell = partial(CELLS.get(name.removeprefix(MULTISCALE)), **options)
    return TextbookModel(
        cell, hidden_channels=hidden_channels, num_layers=num_layers, multiscale=name.startswith(MULTISCALE)
    )


def copy_weights(ours: nn.Module, textbook: nn.Module) -> None:
    """Copy the parameters of `models.build_model(name)` into `build_textbook(name)`.

    Raises:
        InputError: names that one side lacks, or other shapes; the textbook model is then unchanged.
    """
    expected = textbook.state_dict()
    received = {textbook_name(name): value for name, value in ours.state_dict().items()}
    wrong = sorted(
        name for name in expected.keys() | received.keys() if _shape(expected, name) != _shape(received, name)
    )
    if wrong:
        raise InputError(f"expected parameters of the same names and shapes in both models, got differences in {wrong}")
    textbook.load_state_dict(received)


def textbook_name(name: str) -> str:
    """Return the textbook's name of one of our parameters."""
    own = name.removeprefix("stack.").removeprefix("auxiliary.")
    match = _PART.fullmatch(own)
    if match is None:
        return own
    cell, module, part, kind = match.groups()
    return f"{cell}.{module}_{INPUTS[module][int(part)]}.{kind}" if module in INPUTS else own


def _shape(state: dict[str, Any], name: str) -> tuple[int, ...] | None:
    return tuple(state[name].shape) if name in state else None
