"""The reference's parameters in our modules give the reference's predictions."""

from typing import Any

import numpy as np
import pytest
import torch

from core.errors import InputError
from models import build_model
from models.convert import convert, load_reference

GOLDEN: dict[str, tuple[str, dict[str, Any]]] = {
    "convlstm": ("convlstm", {}),
    "ms-convlstm": ("ms-convlstm", {}),
    "predrnn": ("predrnn", {}),
    "ms-predrnn": ("ms-predrnn", {}),
    "predrnnpp": ("predrnn++", {}),
    "ms-predrnnpp": ("ms-predrnn++", {}),
    "predrnn-v2": ("predrnn-v2", {}),
    "ms-predrnn-v2": ("ms-predrnn-v2", {}),
    "preciplstm": ("preciplstm", {}),
    "ms-preciplstm": ("ms-preciplstm", {}),
    "cms-lstm": ("cms-lstm", {}),
    "ms-cms-lstm": ("ms-cms-lstm", {}),
    "modernn": ("modernn", {}),
    "ms-modernn": ("ms-modernn", {}),
    "ms-convlstm-wo-skip": ("ms-convlstm", {"skip": "none"}),
    "ms-convlstm-unet3p": ("ms-convlstm", {"skip": "unet3+"}),
    "ms-convlstm-fc": ("ms-convlstm", {"skip": "full"}),
}


def _parameters(file):
    return {name: torch.from_numpy(file[name]) for name in file.files if name.startswith("param/")}


@pytest.mark.parametrize("name", GOLDEN)
def test_predictions_of_the_reference(golden, name):
    model_name, options = GOLDEN[name]
    file = np.load(golden / f"{name}.npz")
    model: Any = build_model(model_name, hidden_channels=8, **options)
    load_reference(model, _parameters(file))
    with torch.no_grad():
        predictions = model.predict_all(torch.from_numpy(file["frames"][:, :3]), 3)
        forecast = model(torch.from_numpy(file["frames"][:, :3]), lead_steps=3)
    np.testing.assert_allclose(predictions.numpy(), file["predictions"], atol=1e-5)
    np.testing.assert_allclose(forecast.numpy(), file["predictions"][:, -3:], atol=1e-5)


VALUES_OF_EQUAL_WEIGHTS = {  # ms_rnn_facts.md, 11.16: p_0, p_1, p_2, p_3 at (16, 16), mean over all, p_3 at (0, 0)
    "convlstm": (0.055459, 0.064326, 0.081361, 0.111199, 0.075996, 0.068570),
    "predrnn": (0.075520, 0.145679, 0.171624, 0.176848, 0.140678, 0.171738),
    "ms-convlstm": (0.058537, 0.076735, 0.110352, 0.145031, 0.092599, 0.076973),
    "ms-predrnn": (0.077814, 0.148020, 0.172325, 0.177015, 0.141247, 0.176327),
    "predrnn-v2": (0.075520, 0.145679, 0.171624, 0.176848, 0.140678, 0.171738),
    "ms-predrnn-v2": (0.077814, 0.148020, 0.172325, 0.177015, 0.141247, 0.176327),
    "predrnn++": (0.058369, 0.072583, 0.083121, 0.094113, 0.074725, 0.062404),
    "ms-predrnn++": (0.060687, 0.077715, 0.089868, 0.102096, 0.078456, 0.064898),
    "preciplstm": (0.105376, 0.164915, 0.176281, 0.177790, 0.154001, 0.175798),
    "ms-preciplstm": (0.108209, 0.166869, 0.176716, 0.177859, 0.154668, 0.177509),
    "cms-lstm": (0.088534, 0.170818, 0.177387, 0.177520, 0.150820, 0.155700),
    "ms-cms-lstm": (0.112642, 0.174516, 0.177466, 0.177522, 0.156488, 0.158977),
    "modernn": (0.055717, 0.080800, 0.162725, 0.175866, 0.116382, 0.161840),
    "ms-modernn": (0.059277, 0.124021, 0.172008, 0.177173, 0.128236, 0.170527),
}


def _equal_weights(name):
    model: Any = build_model(name)
    with torch.no_grad():
        for parameter_name, parameter in model.named_parameters():
            parameter.fill_(0.05 if parameter_name.endswith("bias") else 0.002)
    t, i, j = torch.meshgrid(torch.arange(5), torch.arange(32), torch.arange(32), indexing="ij")
    frames = (((3 * i + 5 * j + 7 * t) % 11) / 10)[None, :, None]
    return model, frames


@pytest.mark.parametrize("name", VALUES_OF_EQUAL_WEIGHTS)
def test_values_of_equal_weights_at_the_papers_width(name):
    model, frames = _equal_weights(name)
    with torch.no_grad():
        p = model.predict_all(frames[:, :3], 2)[0, :, 0]
    found = [*p[:, 16, 16].tolist(), p.mean().item(), p[3, 0, 0].item()]
    np.testing.assert_allclose(found, VALUES_OF_EQUAL_WEIGHTS[name], atol=2e-6)


@pytest.mark.parametrize(("name", "term"), [("predrnn-v2", 383.440987), ("ms-predrnn-v2", 383.129663)])
def test_decoupling_loss_of_equal_weights(name, term):
    model, frames = _equal_weights(name)
    _, loss = model.double().predict_with_loss(frames[:, :3].double(), 2)
    np.testing.assert_allclose(loss.item(), 0.01 * term, rtol=2e-6)


PARAMETERS = {  # ms_rnn_facts.md, 1.12
    "convlstm": 1_772_737,
    "predrnn": 3_594_817,
    "predrnn++": 4_869_953,
    "predrnn-v2": 3_598_977,
    "preciplstm": 7_041_217,
    "cms-lstm": 4_483_393,
    "modernn": 5_854_657,
}


@pytest.mark.parametrize("prefix", ["", "ms-"])
@pytest.mark.parametrize("name", PARAMETERS)
def test_parameter_counts_of_the_paper(prefix, name):
    assert sum(p.numel() for p in build_model(prefix + name).parameters()) == PARAMETERS[name]


def test_only_the_unused_highways_are_dropped(golden):
    parameters = _parameters(np.load(golden / "predrnnpp.npz"))
    dropped = len(parameters) - len(convert(parameters))
    assert dropped == 5 * 2 * 2  # five layers, two convolutions, weight and bias
    parameters.pop("param/rnns.lstm.1._conv_z.weight")
    with pytest.raises(InputError, match=r"missing: \['stack.cells.1.highway.gates.parts.1.weight'\]"):
        load_reference(build_model("predrnn++", hidden_channels=8), parameters)
    with pytest.raises(InputError, match="_conv_y"):
        convert({"param/rnns.lstm.0._conv_y.weight": torch.zeros(1)})


def test_a_checkpoint_that_does_not_fit_is_refused_with_its_names(golden):
    parameters = _parameters(np.load(golden / "convlstm.npz"))
    model = build_model("convlstm", hidden_channels=8)
    before = {name: value.clone() for name, value in model.state_dict().items()}
    with pytest.raises(InputError, match="nothing_like_it"):
        convert({**parameters, "param/rnns.lstm.0.nothing_like_it.weight": torch.zeros(1)})
    parameters.pop("param/fc.conv_fc.bias")
    with pytest.raises(InputError, match=r"missing: \['head.bias'\]"):
        load_reference(model, parameters)
    for name, value in model.state_dict().items():
        assert torch.equal(value, before[name])
