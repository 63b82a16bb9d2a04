"""Cells and models of OpenSTL and mlcast on the weights and inputs of their public code: the same outputs.

A file of `tests/golden/zoo` has the parameters under their public names, as small integers times `unit`.
"""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from models import build_model
from models.cells import CELLS
from models.cells.base import LayerPosition
from models.cells.e3d_lstm import E3DLSTMCell
from training.trainer.losses import LOSSES

UNIT = "block.attn.spatial_gating_unit"
"""OpenSTL's module of a large kernel, in the blocks of SimVP V2 and of TAU."""
PAIR = {0: "0.depthwise", 1: "0.pointwise", 2: "1", 4: "3.depthwise", 5: "3.pointwise", 6: "4"}
"""SmaAt-UNet's layers of two convolutions: ours -> the public ones."""
ZOO = Path(__file__).parents[1] / "golden" / "zoo"
FIRST, LATER = LayerPosition(0, 4), LayerPosition(1, 4)
PUBLIC = {  # our modules -> the public ones
    "mau": {"trust": "conv_t_next", "query": "conv_s_next", "temporal_gates": "conv_t", "spatial_gates": "conv_s"},
    "swinlstm": {
        "blocks": "STBs",
        "first_norm": "norm1",
        "second_norm": "norm2",
        "attention.pack": "attn.qkv",
        "attention.mix": "attn.proj",
        "attention.bias_NH": "attn.relative_position_bias_table",
        "widen": "mlp.fc1",
        "narrow": "mlp.fc2",
        "join": "red",
    },
    "e3d-lstm": {
        "input_gates": "conv_x.0.conv3d",
        "state_gates": "conv_h.0.conv3d",
        "memory_gates": "conv_gm.0.conv3d",
        "from_c": "conv_new_cell.0.conv3d",
        "from_m": "conv_new_gm.0.conv3d",
        "merge": "conv_last.conv3d",
        "norm": "_norm_c_t",
    },
    "phydnet": {
        "physical.derivatives": "phycell.cell_list.0.F.conv1",
        "physical.norm": "phycell.cell_list.0.F.bn1",
        "physical.combine": "phycell.cell_list.0.F.conv2",
        "physical.gain": "phycell.cell_list.0.convgate",
        **{f"residual_gates.{n}": f"convcell.cell_list.{n}.conv" for n in range(3)},
        **{f"encoder.{n}": f"encoder_E.c{n + 1}.main" for n in range(3)},
        **{f"to_physical.{n}": f"encoder_Ep.c{n + 1}.main" for n in range(2)},
        **{f"to_residual.{n}": f"encoder_Er.c{n + 1}.main" for n in range(2)},
        **{f"from_physical.{n}": f"decoder_Dp.upc{n + 1}.main" for n in range(2)},
        **{f"from_residual.{n}": f"decoder_Dr.upc{n + 1}.main" for n in range(2)},
        **{f"decoder.{n}": f"decoder_D.upc{n + 1}.main" for n in range(2)},
        "decoder.2": "decoder_D.upc3",
    },
    "simvp-v2": {
        **{f"decoder.{n}.conv": f"dec.dec.{n}.conv.conv.0" for n in (0, 2)},
        **{f"encoder.{n}": f"enc.enc.{n}.conv" for n in range(4)},
        **{f"decoder.{n}": f"dec.dec.{n}.conv" for n in range(4)},
        "blocks": "hid.enc",
        "first_norm": "block.norm1",
        "second_norm": "block.norm2",
        "before": "block.attn.proj_1",
        "after": "block.attn.proj_2",
        "attention.kernel.near": f"{UNIT}.conv0",
        "attention.kernel.far": f"{UNIT}.conv_spatial",
        "attention.kernel.mix": f"{UNIT}.conv1",
        "attention.squeeze": f"{UNIT}.fc.0",
        "attention.excite": f"{UNIT}.fc.2",
        "perceptron.widen": "block.mlp.fc1",
        "perceptron.mix": "block.mlp.dwconv.dwconv",
        "perceptron.narrow": "block.mlp.fc2",
        "first_scale_C": "block.layer_scale_1",
        "second_scale_C": "block.layer_scale_2",
        "reduce": "reduction",
        "head": "dec.readout",
    },
    "smaat-unet": {
        **{f"down.0.{n}": f"inc.double_conv.{public}" for n, public in PAIR.items()},
        **{f"down.{k}.{n}": f"down{k}.maxpool_conv.1.double_conv.{p}" for k in (1, 2) for n, p in PAIR.items()},
        **{f"up.{k}.{n}": f"up{k + 1}.conv.double_conv.{public}" for k in (0, 1) for n, public in PAIR.items()},
        **{f"weights.{k}": f"cbam{k + 1}" for k in range(3)},
        "squeeze": "channel_att.MLP.1",
        "excite": "channel_att.MLP.3",
        "places": "spatial_att.conv",
        "norm": "spatial_att.bn",
        "head": "outc.conv",
    },
    "convgru-ensemble": {
        **{f"{part}.{n}": f"{part}.blocks.{n}.convgru.cell" for part in ("encoder", "decoder") for n in range(2)},
        "gates": "combined_gates",
        "candidate": "out_gate",
    },
}


def _file(name: str) -> dict[str, Tensor]:
    with np.load(ZOO / f"{name}.npz") as file:
        unit = float(file["unit"])
        return {key: torch.from_numpy(file[key] * unit if key.startswith("param/") else file[key]) for key in file}


def _public_name(ours: str, names: dict[str, str]) -> str:
    for part, public in names.items():
        ours = f".{ours}".replace(f".{part}.", f".{public}.").removeprefix(".") if f".{part}." in f".{ours}" else ours
        ours = ours.replace(part, public) if ours.endswith(part) else ours
    return ours


def _load(module: Any, file: dict[str, Tensor], names: dict[str, str]) -> Any:
    """Give every parameter of a module the public value; all values of the file must be used."""
    left = {name for name in file if name.startswith("param/")}
    with torch.no_grad():
        for name, parameter in module.named_parameters():
            public = f"param/{_public_name(name, names)}"
            left.remove(public)
            parameter.copy_(_planes(file[public], parameter))
    assert left == set()
    return module.eval()


def _planes(value: Tensor, parameter: Tensor) -> Tensor:
    """Return a kernel over two planes as one over both (of two frames) or as their sum (of two equal planes)."""
    if value.dim() != 5:
        return value
    return torch.cat(value.unbind(2), 1) if parameter.shape[1] == 2 * value.shape[1] else value.sum(dim=2)


def _run(cell: Any, inputs: Tensor, memories: Tensor | None = None) -> tuple[Tensor, list[Any]]:
    state, outputs, states = cell.init_state(inputs[0]), [], []
    with torch.no_grad():
        for number, x_BCHW in enumerate(inputs):
            step = cell(x_BCHW, state, None if memories is None else memories[number])
            state = step.state
            outputs.append(step.y_BCHW)
            states.append(state)
    return torch.stack(outputs), states


@pytest.mark.parametrize(("name", "options"), [("mau", {"tau": 3}), ("swinlstm", {"depth": 3, "heads": 2})])
def test_outputs_of_the_public_cell(name, options):
    file = _file(name)
    cell = _load(CELLS.get(name)(file["inputs"].shape[2], **options), file, PUBLIC[name])
    torch.testing.assert_close(_run(cell, file["inputs"])[0], file["outputs"], rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize(("name", "position"), [("e3d-lstm-first", FIRST), ("e3d-lstm", LATER)])
def test_outputs_and_memories_of_the_public_e3d_lstm_from_one_plane(name, position):
    file = _file(name)
    cell = E3DLSTMCell(4, 5, position, recall=5, layout="reference")
    outputs, states = _run(_load(cell, file, PUBLIC["e3d-lstm"]), file["inputs"], file["memories"])
    torch.testing.assert_close(outputs, file["outputs"], rtol=1e-5, atol=1e-5)
    torch.testing.assert_close(torch.stack([state[1] for state in states]), file["cells"], rtol=1e-5, atol=1e-5)


def test_e3d_lstm_attends_over_pixels_and_passes_its_memory_on_unless_it_is_the_reference_s():
    file = _file("e3d-lstm")
    made = {}
    for layout in ("exact", "reference"):
        cell = E3DLSTMCell(4, 5, LATER, recall=5, layout=layout)
        made[layout] = _load(cell, file, PUBLIC["e3d-lstm"])
    x_BCHW, memory_BCHW = file["inputs"][0], file["memories"][0]
    for layout, cell in made.items():
        state = cell.init_state(x_BCHW)
        with torch.no_grad():
            passed_BCHW = cell(x_BCHW, state, memory_BCHW).memory_BCHW
        assert torch.equal(passed_BCHW, memory_BCHW) == (layout == "reference")
    # a query of zeros looks at all pixels of the memories since the start alike
    query, memories = torch.zeros(1, 4, 4, 4), tuple(torch.rand(5, 1, 4, 4, 4))
    seen = torch.stack(memories[-2:]).mean(dim=(0, 3, 4))
    found = made["exact"]._recalled(query, memories, torch.tensor([1.0]))
    torch.testing.assert_close(found, seen[:, :, None, None].expand(1, 4, 4, 4))


@pytest.mark.parametrize(
    ("name", "options"),
    [
        ("simvp-v2", {"hidden_channels": 4, "translator_channels": 8, "num_layers": 1, "ratio": 2}),
        ("tau", {"hidden_channels": 4, "translator_channels": 8, "num_layers": 1, "ratio": 2}),
        ("smaat-unet", {"hidden_channels": 16, "levels": 3}),
    ],
)
def test_predictions_of_the_public_model_without_recurrence(name, options):
    file = _file(name)
    model = _load(build_model(name, input_steps=3, **options), file, PUBLIC.get(name, PUBLIC["simvp-v2"]))
    with torch.no_grad():
        predictions = model.one_pass(file["frames"])
    assert float(file["predictions"].std()) > 0.03
    torch.testing.assert_close(predictions, file["predictions"], rtol=1e-5, atol=1e-5)


def test_predictions_and_penalty_of_the_public_phydnet():
    file = _file("phydnet")
    model: Any = build_model("phydnet", hidden_channels=32, lstm_channels=[8, 8])
    _load(model, file, PUBLIC["phydnet"])
    with torch.no_grad():
        predictions, loss = model.predict_with_loss(file["frames"], 3)
    torch.testing.assert_close(predictions, file["predictions"], rtol=1e-5, atol=1e-5)
    torch.testing.assert_close(loss.double() / (16 * 16 / 5), file["penalty"], rtol=1e-5, atol=0)


def test_forecast_of_mlcast_with_and_without_noise():
    file = _file("convgru-ensemble")
    model: Any = build_model("convgru-ensemble", blocks=2, input_steps=3)
    _load(model, file, PUBLIC["convgru-ensemble"])
    with torch.no_grad():
        states = model.encode(file["frames"])
        for noise, expected in ((torch.zeros(2, 4, 16, 2, 3), "without_noise"), (file["noise"], "with_noise")):
            torch.testing.assert_close(torch.stack(model.decode(noise, *states), 1), file[expected])


@pytest.mark.parametrize("name", ["crps", "afcrps"])
def test_losses_of_mlcast(name):
    file, loss = _file("convgru-ensemble"), LOSSES.get(name)
    sums = file[name].sum(dim=(2, 3, 4)).mean()
    whole = torch.ones_like(file["target"])
    torch.testing.assert_close(loss(file["members"], file["target"], whole), sums)
    half = whole.clone()
    half[..., 3:] = 0  # not observed
    torch.testing.assert_close(loss(file["members"], file["target"], half), file[name][..., :3].sum((2, 3, 4)).mean())
