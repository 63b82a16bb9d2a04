"""The fast paths give what the plain ones give: gates, joined convolutions, pooling, and the forecaster's copy."""

import copy
from typing import Any, cast

import pytest
import torch
import torch.nn.functional as F

from core.errors import InputError
from models import Forecaster, bands, build_model, list_models, load_forecaster
from models.cells import CELLS, gates
from models.cells.joint import CatConv2d, JointConv2d
from models.fast import number_type, ready
from models.rollout import RecurrentModel
from models.stack import resample
from training.datasets import build_dataset
from verification.counts import contingency
from verification.scores import value_of


def _model(name: str, **options: Any) -> RecurrentModel:
    return cast(RecurrentModel, build_model(name, **options))


MULTISCALE = [name for name in list_models() if name.startswith("ms-")]
CPU = torch.device("cpu")


def _double(*shape: int) -> torch.Tensor:
    return torch.randn(shape, dtype=torch.float64, requires_grad=True)


@pytest.mark.parametrize(
    ("fast", "plain"),
    [
        (gates.gated, lambda a, b: a.sigmoid() * b.tanh()),
        (gates.scaled, lambda a, b: 2 * a.sigmoid() * b),
        (lambda a, b: gates.tanh(a) + b, lambda a, b: a.tanh() + b),
    ],
)
def test_gates_and_their_gradients_are_those_of_the_formula(fast, plain):
    a, b = _double(2, 3, 5, 4), _double(2, 3, 5, 4)
    assert torch.autograd.gradcheck(fast, (a, b))
    torch.testing.assert_close(fast(a, b), plain(a, b))
    with torch.no_grad():
        torch.testing.assert_close(fast(a, b), plain(a, b))


def test_a_gate_keeps_no_more_than_its_own_slice():
    packed: list[torch.Tensor] = []

    def keep(tensor: torch.Tensor) -> torch.Tensor:
        packed.append(tensor)
        return tensor

    whole = torch.randn(1, 8, 6, 6, requires_grad=True) * 1
    with torch.autograd.graph.saved_tensors_hooks(keep, lambda t: t):
        i, g = whole.chunk(2, dim=1)
        gates.gated(i, g)
    assert {t.untyped_storage().nbytes() for t in packed} == {4 * 4 * 36}


@pytest.mark.parametrize("slope", [0.0, 1e-3, 30.0])
def test_bfloat16_tanh_is_as_exact_as_bfloat16_can_be(slope):
    x = (slope * torch.linspace(-1, 1, 101)).bfloat16().requires_grad_()
    y = gates.tanh(x)
    torch.testing.assert_close(y.float(), x.float().tanh(), rtol=2**-8, atol=0)
    y.sum().backward()
    assert x.grad is not None
    torch.testing.assert_close(x.grad.float(), 1 - y.float().square(), rtol=2**-7, atol=2**-8)


def test_joined_convolution_is_the_sum_of_its_parts():
    joint = JointConv2d((2, 3), 4, 3).double()
    x, y = _double(2, 2, 5, 6), _double(2, 3, 5, 6)
    own = dict(joint.named_parameters())
    parts = [F.conv2d(z, own[f"parts.{n}.weight"], own[f"parts.{n}.bias"], padding=1) for n, z in enumerate((x, y))]
    torch.testing.assert_close(joint(x, y), parts[0] + parts[1])
    torch.testing.assert_close(joint.merged()(x, y), parts[0] + parts[1])
    assert torch.autograd.gradcheck(joint, (x, y))
    _same_gradients(joint(x, y), parts[0] + parts[1], (x, y, *own.values()), (x, y, *own.values()))


def test_concatenating_convolution_takes_gradients_to_weight_and_to_each_input():
    conv, plain = CatConv2d(5, 4, 3).double(), torch.nn.Conv2d(5, 4, 3, padding=1).double()
    plain.load_state_dict(conv.state_dict())
    x, y = _double(2, 2, 5, 6), _double(2, 3, 5, 6)
    expected = plain(torch.cat([x, y], 1))
    _same_gradients(conv(x, y), expected, (x, y, *conv.parameters()), (x, y, *plain.parameters()))


def _same_gradients(
    got: torch.Tensor, expected: torch.Tensor, by: tuple[torch.Tensor, ...], expected_by: tuple[torch.Tensor, ...]
):
    gradients = torch.autograd.grad(got.square().sum(), by), torch.autograd.grad(expected.square().sum(), expected_by)
    for one, other in zip(*gradients, strict=True):
        torch.testing.assert_close(one, other)


@pytest.mark.parametrize("ties", [False, True])
def test_pooling_without_indices_sends_the_gradient_where_pytorch_sends_it(ties):
    x = (torch.zeros(2, 3, 9, 7) if ties else torch.randn(2, 3, 9, 7)).requires_grad_()
    weight = torch.randn(2, 3, 4, 3)
    got = torch.autograd.grad((resample(x, (4, 3)) * weight).sum(), x)[0]
    expected = torch.autograd.grad((F.max_pool2d(x, 2) * weight).sum(), x)[0]
    assert torch.equal(got, expected)


ROUNDED = {"ms-mau": 0.05, "ms-e3d-lstm": 0.05}
"""These normalise over all channels and pixels at every step, which makes the rounding of their convolutions larger."""


@pytest.mark.parametrize("name", MULTISCALE)
def test_the_ready_copy_forecasts_as_the_model(name):
    torch.manual_seed(0)
    model = _model(name, hidden_channels=8, num_layers=3).eval()
    frames_BTCHW = torch.rand(1, 3, 1, 17, 22)
    with torch.no_grad():
        expected = model(frames_BTCHW, 3)
        same = ready(model, CPU, "float32")(frames_BTCHW, 3)
        half = ready(model, CPU, "bfloat16")(frames_BTCHW, 3)
    torch.testing.assert_close(same, expected, rtol=1e-4, atol=2e-6)
    assert half.dtype == torch.float32
    assert float((half - expected).abs().max()) < ROUNDED.get(name, 0.02) * max(float(expected.abs().max()), 0.1)
    assert not torch.equal(half, expected)


@pytest.mark.parametrize("name", ["ms-convlstm", "predrnn", "ms-predrnn++", "ms-predrnn-v2", "ms-mim", "modernn"])
@pytest.mark.parametrize("kernel_size", [3, 5])
def test_bands_of_a_large_field_give_what_the_whole_gives(monkeypatch, name, kernel_size):
    torch.manual_seed(0)
    model = _model(name, hidden_channels=3, num_layers=3, kernel_size=kernel_size).double().eval()
    [torch.nn.init.normal_(parameter, std=0.4) for parameter in model.parameters()]
    frames_BTCHW = torch.rand(2, 3, 1, 61, 9, dtype=torch.float64)
    with torch.no_grad():
        expected = model(frames_BTCHW, 2)
        monkeypatch.setattr(bands, "LARGE", 0)
        monkeypatch.setattr(bands, "ROWS", 7)
        torch.testing.assert_close(model(frames_BTCHW, 2), expected, rtol=1e-11, atol=1e-11)
        monkeypatch.setattr(CELLS.get(name.removeprefix("ms-")), "reach", property(lambda cell: 0))
        assert float((model(frames_BTCHW, 2) - expected).abs().max()) > 1e-6


def test_the_ready_copy_stays_as_it_was_made():
    model = _model("ms-convlstm", hidden_channels=4, num_layers=3)
    frames_BTCHW = torch.rand(1, 2, 1, 8, 8)
    copied, before = ready(model, CPU, "float32"), copy.deepcopy(model.state_dict())
    expected = copied(frames_BTCHW, 1)
    assert all(torch.equal(value, before[key]) for key, value in model.state_dict().items())
    with torch.no_grad():
        [parameter.add_(1) for parameter in model.parameters()]
    assert torch.equal(copied(frames_BTCHW, 1), expected)
    assert not any(parameter.requires_grad for parameter in copied.parameters())


def test_number_type_follows_the_device(monkeypatch):
    for amx, avx, expected in (
        (False, False, torch.float32),
        (True, False, torch.bfloat16),
        (False, True, torch.bfloat16),
    ):
        monkeypatch.setattr(torch.cpu, "_is_amx_tile_supported", lambda amx=amx: amx)
        monkeypatch.setattr(torch.cpu, "_is_avx512_bf16_supported", lambda avx=avx: avx)
        assert number_type(CPU) == expected
    assert number_type(CPU, "float32") == torch.float32
    assert number_type(torch.device("meta")) == torch.float32
    with pytest.raises(InputError, match=r"expected .*float32, bfloat16, got 'half'"):
        number_type(CPU, "half")


def test_another_module_runs_as_it_is():
    class Doubled(torch.nn.Module):
        def forward(self, frames_BTCHW: torch.Tensor, lead_steps: int) -> torch.Tensor:
            return frames_BTCHW[:, -1:].expand(-1, lead_steps, -1, -1, -1) * 2

    module = Doubled()
    forecaster = Forecaster.from_model(module, precision="bfloat16")
    assert forecaster.model is module


@pytest.mark.long
def test_bfloat16_moves_no_score_of_the_guided_model_by_more_than_two_thousandths(shared_data):
    (event,) = (shared_data / "events").glob("opera_germany_20180824*")
    windows = build_dataset("germany", event, "test", {}, input_steps=5, lead_steps=5, seed=0)
    forecasters = [load_forecaster("guided", precision=name) for name in ("float32", "bfloat16")]
    for threshold_mmh in (0.5, 2.0, 5.0):
        scores = []
        for forecaster in forecasters:
            counts = [
                contingency(forecaster.forecast(past[:, 0].numpy()).rate_mmh_LHW, future[:, 0].numpy(), threshold_mmh)
                for past, future in (windows[index] for index in range(len(windows)))
            ]
            scores.append(value_of("csi", sum(counts[1:], counts[0])))
        assert scores[0]
        assert scores[1] == pytest.approx(scores[0], abs=0.002)
