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
}


@pytest.mark.parametrize("name", VALUES_OF_EQUAL_WEIGHTS)
def test_values_of_equal_weights_at_the_papers_width(name):
    model: Any = build_model(name)
    with torch.no_grad():
        for parameter_name, parameter in model.named_parameters():
            parameter.fill_(0.05 if parameter_name.endswith("bias") else 0.002)
    t, i, j = torch.meshgrid(torch.arange(5), torch.arange(32), torch.arange(32), indexing="ij")
    frames = (((3 * i + 5 * j + 7 * t) % 11) / 10)[None, :, None]
    with torch.no_grad():
        p = model.predict_all(frames[:, :3], 2)[0, :, 0]
    found = [*p[:, 16, 16].tolist(), p.mean().item(), p[3, 0, 0].item()]
    np.testing.assert_allclose(found, VALUES_OF_EQUAL_WEIGHTS[name], atol=2e-6)


@pytest.mark.parametrize(
    ("name", "count"),
    [("convlstm", 1_772_737), ("ms-convlstm", 1_772_737), ("predrnn", 3_594_817), ("ms-predrnn", 3_594_817)],
)
def test_parameter_counts_of_the_paper(name, count):
    assert sum(p.numel() for p in build_model(name).parameters()) == count


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
