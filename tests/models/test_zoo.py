"""The models besides those of the MS-RNN paper: their published sizes, and what every model keeps."""

from typing import Any

import pytest
import torch
from torch.utils.flop_counter import FlopCounterMode

from core.errors import InputError
from models import build_model, list_models, recurrent_models
from models.build import MODELS
from models.cells.convgru import ConvGRUCell
from models.simvp_v2 import GatedAttention, LargeKernel, MetaBlock
from models.smaat_unet import BlockWeights
from models.tau import TemporalAttention, differential_divergence
from tests.models.small_models import each_of, small

NAMES = ("simvp-v2", "tau", "rainnet", "smaat-unet")
name = each_of(*NAMES)


def test_every_model_without_recurrence_is_tried_here_or_with_the_paper_s():
    others = {"simvp", "earthformer", "phydnet", "convgru-ensemble"}  # test_rivals.py, test_zoo_openstl.py
    assert set(MODELS.names()) == {*NAMES, *others}
    cells = {"convgru", "mau", "swinlstm", "e3d-lstm"}
    assert cells | {f"ms-{name}" for name in cells} <= set(recurrent_models()) <= set(list_models())


@pytest.mark.parametrize(
    ("name", "parameters", "printed_m", "shape", "printed_g"),
    [
        ("simvp-v2", 46_769_665, 46.8, (10, 64, 64), 16.5),  # OpenSTL's table of Moving MNIST
        ("tau", 44_656_001, 44.7, (10, 64, 64), 16.0),
        ("rainnet", 31_380_613, 31.4, (4, 928, 928), None),
        ("smaat-unet", 4_033_537, 4.0, (12, 288, 288), None),
    ],
)
def test_defaults_have_the_published_size_and_cost(name, parameters, printed_m, shape, printed_g):
    frames, height, width = shape
    with torch.device("meta"):
        model = build_model(name).eval()
        assert sum(p.numel() for p in model.parameters()) == parameters == pytest.approx(printed_m * 1e6, rel=0.01)
        with FlopCounterMode(display=False) as counter:
            model(torch.zeros(1, frames, 1, height, width), lead_steps=10 if printed_g else 1)
    macs = sum(counter.get_flop_counts()["Global"].values()) / 2
    assert printed_g is None or macs == pytest.approx(printed_g * 1e9, rel=0.01)


@pytest.mark.parametrize(("height", "width"), [(16, 16), (13, 18), (4, 5)])
def test_any_size_and_any_lead_comes_back_and_samples_do_not_mix(name, height, width):
    model, frames = small(name).eval(), torch.rand(2, 3, 1, height, width)
    with torch.no_grad():
        for leads in (1, 4):
            forecast = model(frames, lead_steps=leads)
            assert forecast.shape == (2, leads, 1, height, width)
            alone = torch.cat([model(frames[i : i + 1], lead_steps=leads) for i in range(2)])
            torch.testing.assert_close(forecast, alone)


def test_further_leads_follow_from_the_own_forecast(name):
    model, frames = small(name).eval(), torch.rand(1, 3, 1, 12, 12)
    with torch.no_grad():
        first = model(frames, lead_steps=3)
        later = model(first, lead_steps=2)
        torch.testing.assert_close(model(frames, lead_steps=5), torch.cat([first, later], dim=1))


def test_every_parameter_gets_a_gradient_and_recomputing_gives_the_same(name):
    gradients = []
    for recompute in (False, True):
        model = small(name).eval()  # without dropout; a bias before a normalisation over the batch has no gradient
        model.recompute = recompute
        forecast, _ = model.predict_with_loss(torch.rand(2, 3, 1, 8, 8, generator=torch.Generator().manual_seed(1)), 3)
        forecast.square().sum().backward()
        assert [n for n, p in model.named_parameters() if p.grad is None or not bool(p.grad.any())] == []
        gradients.append([p.grad for p in model.parameters()])
    for plain, recomputed in zip(*gradients, strict=True):
        torch.testing.assert_close(recomputed, plain)


def test_two_channels_and_residual(name):
    frames = torch.rand(1, 3, 2, 8, 8)
    plain, residual = (small(name, in_channels=2, residual=residual).eval() for residual in (False, True))
    with torch.no_grad():
        torch.testing.assert_close(residual(frames, lead_steps=1), plain(frames, lead_steps=1) + frames[:, -1:])


@pytest.mark.parametrize(
    ("name", "options", "words"),
    [
        ("simvp-v2", {"hidden_channels": 3}, "even hidden_channels"),
        ("simvp-v2", {"drop_path": 1.0}, "drop_path=1.0"),
        ("tau", {"divergence": -0.1}, "divergence: expected at least 0"),
        ("tau", {"kernel_size": 2}, "odd numbers, got kernel_size=2"),
        ("rainnet", {"num_layers": 5}, "option levels"),
        ("smaat-unet", {"levels": 1}, "levels=1"),
    ],
)
def test_impossible_options_are_refused_with_what_is_expected(name, options, words):
    with pytest.raises(InputError, match=words):
        small(name, **options)


def test_a_large_kernel_reaches_ten_pixels_and_mixes_no_more_than_its_last_part():
    kernel: Any = LargeKernel(2, 2)
    torch.nn.init.zeros_(kernel.mix.bias)
    with torch.no_grad():
        for part in (kernel.near, kernel.far):
            part.weight.fill_(1.0)
            part.bias.zero_()
        kernel.mix.weight.copy_(torch.eye(2)[:, :, None, None])
        point = torch.zeros(1, 2, 31, 31)
        point[0, 0, 15, 15] = 1
        reached = kernel(point)
    places = reached[0, 0].nonzero()
    assert (places.min().item(), places.max().item()) == (15 - 11, 15 + 11)
    assert float(reached[0, 1].abs().max()) == 0


def test_gsta_s_first_half_is_gated_by_its_second_half():
    attention: Any = GatedAttention(1)
    with torch.no_grad():
        for parameter in attention.parameters():
            parameter.zero_()
        attention.kernel.mix.bias.copy_(torch.tensor([3.0, 0.5]))
        value = attention(torch.rand(1, 1, 4, 4))
    torch.testing.assert_close(value, torch.full((1, 1, 4, 4), 3 / (1 + 2.718281828**-0.5)))


def test_tau_multiplies_its_input_by_a_kernel_and_a_weight_of_each_channel():
    attention: Any = TemporalAttention(8)
    with torch.no_grad():
        for parameter in attention.parameters():
            parameter.zero_()
        attention.kernel.mix.bias.fill_(2.0)
        x = torch.rand(1, 8, 3, 3)
        torch.testing.assert_close(attention(x), 0.5 * 2.0 * x)  # a weight of sigmoid(0)
    assert attention.squeeze.weight.shape == (2, 8)  # narrowed by 4, the least factor
    assert TemporalAttention(512).squeeze.weight.shape == (16, 512)


def test_divergence_of_changes_worked_out_by_hand():
    truth = torch.zeros(1, 3, 1, 1, 2)
    truth[0, 1, 0, 0] = torch.tensor([0.1, 0.0])  # changes 0.1, 0 then -0.1, 0
    forecast = torch.zeros(1, 3, 1, 1, 2)
    e = 2.718281828459045
    p, q = e / (1 + e), 0.5  # softmax of changes over 0.1
    first = q * torch.tensor([q / p, q / (1 - p)]).log().sum()
    torch.testing.assert_close(differential_divergence(forecast, truth), first)  # the second step has the same
    assert float(differential_divergence(truth, truth)) == 0


def test_tau_s_loss_has_the_divergence_only_where_the_truth_is_given():
    frames, future = torch.rand(2, 3, 1, 8, 8), torch.rand(2, 3, 1, 8, 8)
    model = small("tau", divergence=0.5).eval()
    forecast, loss = model.predict_with_loss(frames, 3, future_BTCHW=future)
    torch.testing.assert_close(loss, 0.5 * differential_divergence(forecast, future))
    assert model.predict_with_loss(frames, 3)[1] is None
    assert model.predict_with_loss(frames, 1, future_BTCHW=future[:, :1])[1] is None
    assert small("tau", divergence=0.0).predict_with_loss(frames, 3, future_BTCHW=future)[1] is None


def test_a_dropped_branch_leaves_the_sample_as_it_is():
    block = MetaBlock(4, 4, GatedAttention, ratio=2, drop=0.999999)
    x = torch.rand(3, 4, 6, 6)
    torch.testing.assert_close(block.train()(x), x)
    assert not torch.allclose(block.eval()(x), x)


def test_weights_of_channels_come_from_mean_and_maximum():
    weights: Any = BlockWeights(16).eval()
    with torch.no_grad():
        for parameter in weights.parameters():
            parameter.zero_()
        weights.squeeze.weight[0, 0] = 1.0
        weights.excite.weight[:, 0] = 1.0
        x = torch.zeros(1, 16, 2, 2)
        x[0, 0, 0, 0] = 4.0  # mean 1, maximum 4: the logit is 5, then places weigh sigmoid(0)
        torch.testing.assert_close(weights(x)[0, 0, 0, 0], torch.tensor(4.0 * 0.5).mul(torch.tensor(5.0).sigmoid()))


def test_convgru_keeps_or_replaces_its_state_by_its_gate():
    cell: Any = ConvGRUCell(2)
    x, h = torch.rand(1, 2, 5, 5), torch.rand(1, 2, 5, 5)
    with torch.no_grad():
        for parameter in cell.parameters():
            parameter.zero_()
        cell.candidate.bias.fill_(0.3)
        cell.gates.parts[0].bias[:2] = -100.0
        torch.testing.assert_close(cell(x, (h,), None).y_BCHW, h)
        cell.gates.parts[0].bias[:2] = 100.0
        torch.testing.assert_close(cell(x, (h,), None).y_BCHW, torch.full_like(h, 0.3).tanh())
        cell.candidate.weight[:, 2:] = 1.0  # of the reset state
        cell.gates.parts[0].bias[2:] = -100.0
        torch.testing.assert_close(cell(x, (h,), None).y_BCHW, torch.full_like(h, 0.3).tanh())
    assert (
        sum(p.numel() for p in build_model("convgru").parameters())
        == 6 * (2 * 64 * 2 * 64 * 9 + 2 * 128 + 128 * 64 * 9 + 64) + 193
    )
