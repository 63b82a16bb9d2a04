"""What a GPU needs, as far as a CPU can show it: whole float32, no copies in a step, no bands of rows."""

import pytest
import torch

from models import bands
from models.build import build_model
from models.cells.base import RecurrentCell
from models.cells.warp import warp
from models.device import constants, pick_device
from models.rollout import RecurrentModel


@pytest.fixture
def float32_flags():
    cudnn, matmul = torch.backends.cudnn, torch.backends.cuda.matmul
    before = cudnn.allow_tf32, matmul.allow_tf32
    cudnn.allow_tf32 = matmul.allow_tf32 = True
    yield lambda: (cudnn.allow_tf32, matmul.allow_tf32)
    cudnn.allow_tf32, matmul.allow_tf32 = before


@pytest.mark.parametrize("name", ["auto", "cuda", "cuda:1"])
def test_float32_is_whole_on_a_gpu(monkeypatch, float32_flags, name):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    assert pick_device(name).type == "cuda"
    assert float32_flags() == (False, False)


def test_a_cpu_leaves_the_flags_as_they_are(monkeypatch, float32_flags):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    assert pick_device("auto").type == "cpu"
    assert float32_flags() == (True, True)


def test_constants_are_made_once():
    first = constants((1.0, 2.5), torch.float32, torch.device("cpu"))
    assert first.tolist() == [1.0, 2.5]
    assert constants((1.0, 2.5), torch.float32, torch.device("cpu")) is first
    assert constants((1.0, 2.5), torch.float64, torch.device("cpu")).dtype == torch.float64


@pytest.mark.parametrize(("device", "whole"), [("meta", True), ("cpu", False)])
def test_only_a_cpu_computes_a_step_in_bands(monkeypatch, device, whole):
    monkeypatch.setattr(bands, "LARGE", 0)
    monkeypatch.setattr(bands, "ROWS", 8)
    model = build_model("convlstm", hidden_channels=4, num_layers=1).to(device).eval()
    rows = []
    for cell in (module for module in model.modules() if isinstance(module, RecurrentCell)):
        cell.register_forward_pre_hook(lambda _, given: rows.append(given[0].shape[2]))
    with torch.inference_mode():
        model(torch.zeros(1, 1, 1, 24, 16, device=device), 1)
    assert rows
    assert (set(rows) == {24}) == whole


def test_a_warp_copies_nothing_from_python(monkeypatch):
    image, flow = torch.rand(1, 2, 6, 7), torch.randn(1, 1, 2, 6, 7)
    expected = warp(image, flow)

    def refused(*_):
        raise AssertionError("each call would wait for a GPU")

    monkeypatch.setattr(torch.Tensor, "new_tensor", refused)
    monkeypatch.setattr(torch, "tensor", refused)
    torch.testing.assert_close(warp(image, flow), expected)


def test_scheduled_sampling_asks_nothing_of_the_device():
    """A tensor on "meta" has no values: asking it for one is an error, as it would be a wait for a GPU."""
    model = RecurrentModel("convlstm", hidden_channels=4, num_layers=1, multiscale=False).to("meta")
    frames, future = torch.zeros(2, 2, 1, 8, 8, device="meta"), torch.zeros(2, 2, 1, 8, 8, device="meta")
    mask = torch.tensor([[True, True], [True, False], [False, False]])
    with torch.no_grad():
        every = model.predict_all(frames, 2, future_BTCHW=future, use_truth_TB=mask)
    assert every.shape == (2, 3, 1, 8, 8)
