"""`torch.compile` gives what eager gives: one model in every run, all of them, with gradients, in `make test-long`."""

import shutil
from typing import Any

import pytest
import torch

from models import build_model, recurrent_models

pytestmark = [
    pytest.mark.skipif(shutil.which("g++") is None, reason="no C++ compiler (g++) for torch.compile on the PATH"),
    pytest.mark.filterwarnings("ignore"),  # torch's compiler warns of its own doings
]


def _pair(name, num_layers):
    """The same small model twice, its stack compiled the second time."""
    torch.compiler.reset()
    models: list[Any] = []
    for _ in range(2):
        torch.manual_seed(5)
        models.append(build_model(name, hidden_channels=4, num_layers=num_layers))
    models[1].stack.compile()
    return models


def test_a_compiled_forecast_equals_the_eager_one():
    frames_BTCHW = torch.rand(1, 2, 1, 16, 12)
    eager, compiled = _pair("ms-convlstm", 2)
    with torch.no_grad():
        torch.testing.assert_close(compiled(frames_BTCHW, lead_steps=2), eager(frames_BTCHW, lead_steps=2))


@pytest.mark.long
@pytest.mark.parametrize("name", recurrent_models())
def test_compiled_forecasts_and_gradients_equal_the_eager_ones(name):
    frames_BTCHW = torch.rand(1, 2, 1, 16, 12)
    results = []
    for model in _pair(name, 3):
        forecast_BTCHW, own_loss = model.predict_with_loss(frames_BTCHW, 2)
        (forecast_BTCHW.square().sum() + (own_loss or 0)).backward()
        results.append((forecast_BTCHW.detach(), [p.grad for p in model.parameters()]))
    torch.testing.assert_close(results[1][0], results[0][0], rtol=1e-4, atol=1e-5)
    torch.testing.assert_close(results[1][1], results[0][1], rtol=1e-3, atol=1e-4)
