"""Cells and models of OpenSTL and mlcast besides their golden files: published sizes and costs, and what they keep."""

from typing import Any

import numpy as np
import pytest
import torch
from torch import nn
from torch.utils.flop_counter import FlopCounterMode

from core.errors import ConfigError, InputError
from models import build_model
from models.cells import CELLS
from models.cells.base import LayerPosition
from models.cells.swinlstm import WindowAttention
from models.checkpoint import load_network, save_model
from models.cost.measure import count_parameters
from models.phydnet import moments
from tests.models.small_models import SMALL, each_of, small
from training.config import resolve
from training.trainer.module import NowcastModule

STEPS = 19
"""Of a recurrent model on Moving MNIST: 10 frames in, 10 out."""
name = each_of("phydnet", "convgru-ensemble")


def _macs(run) -> float:
    with FlopCounterMode(display=False) as counter, torch.no_grad():
        run()
    return float(sum(counter.get_flop_counts()["Global"].values())) / 2


def _cell(name: str, channels: int, edge: int, kernel_size: int = 3, layer: int = 1, **options) -> tuple[int, float]:
    """Parameters and MACs of one step of a cell, on shapes alone."""
    with torch.device("meta"):
        cell = CELLS.get(name)(channels, kernel_size, LayerPosition(layer, 4), **options)
        x = torch.zeros(1, channels, edge, edge)
        return count_parameters(cell), _macs(lambda: cell(x, cell.init_state(x), None))


def test_phydnet_has_the_published_size_and_cost():
    with torch.device("meta"):
        model = build_model("phydnet").eval()
        assert count_parameters(model) == 3_091_732 == pytest.approx(3.1e6, rel=0.01)  # OpenSTL: 3.1 M, 15.3 G
        macs = _macs(lambda: model(torch.zeros(1, 10, 1, 64, 64), lead_steps=10))
    assert macs == pytest.approx(15.3e9, rel=0.01)


def test_mau_has_the_published_size_and_cost():
    """OpenSTL: 4.5 M, 17.8 G: four cells of 64 channels and 5 x 5 at 16 x 16, and strided convolutions around them."""
    parameters, macs = _cell("mau", 64, 16, 5, tau=5)
    assert parameters == 819_712 + 2 * 8 * 64
    norms = 8 * 64 * 2 * (16**2 - 1)  # published: a weight and a bias for each pixel, not for each channel
    around = 2 * 64 + 4 * (64 * 64 * 9 + 64) + 65
    unused = 128 * 64 + 64 + 3  # two layers that no forward pass of the public code has
    assert 4 * (parameters + norms) + around + unused == 4_483_588 == pytest.approx(4.5e6, rel=0.01)
    strided = 2 * 9 * 64 * 64 * (32**2 + 16**2)  # down, and up
    assert STEPS * (4 * macs + strided + 2 * 64 * 64**2) == pytest.approx(17.8e9, rel=0.01)


def test_swinlstm_has_the_published_size_and_cost():
    """OpenSTL's SwinLSTM-D: 20.2 M, 69.9 G: four cells, two on the way down, two on the way up."""
    cells = [(128, 32, 2, 4), (256, 16, 6, 8), (512, 8, 2, 8), (256, 16, 6, 4)]
    counts = [_cell("swinlstm", c, edge, depth=depth, heads=heads) for c, edge, depth, heads in cells]
    unused = sum(depth // 2 * (2 * c * c + c) for c, _, depth, _ in cells)  # published: every block can merge
    merging = sum(8 * c * c + 8 * c for c in (128, 256))  # 4 c to 2 c without bias, normalised before
    expanding = sum(2 * c * c + c for c in (512, 256))
    around = 2 * (128 * 4 + 128 + 256) + 9 * 128 + 1
    parameters = sum(count for count, _ in counts) + unused + merging + expanding + around
    assert parameters == pytest.approx(20.2e6, rel=0.01)
    between = sum(8 * c * c * places for c, places in ((128, 256), (256, 64)))
    between += sum(2 * c * c * places for c, places in ((512, 64), (256, 256)))
    macs = STEPS * (sum(work for _, work in counts) + between + 128 * 4 * 32**2 + 9 * 128 * 32**2)
    assert macs == pytest.approx(69.9e9, rel=0.01)


def test_e3d_lstm_computes_one_of_two_equal_planes_of_the_published_size_and_cost():
    """OpenSTL: 51.0 M, 298.9 G: four cells of 128 channels and 5 x 5 at 16 x 16, each weight for two planes."""
    parameters, macs = _cell("e3d-lstm", 128, 16, 5, recall=1)
    convolutions, merge, norm = 17 * 128**2 * 25, 2 * 128**2, 2 * 128
    assert parameters == convolutions + merge + norm
    published_norm = 2 * 128 * 2 * 256
    first = -50 * 7 * 128 * (128 - 16)  # the first layer sees 16 channels, a patch of 4 x 4
    published = 4 * (2 * convolutions + merge + published_norm) + first + 128 * 16 * 2
    assert published == 51_347_456 == pytest.approx(51.0e6, rel=0.01)
    pairs = sum(range(1, STEPS + 1)) * 2 * 128  # of all queries with the memories so far
    planes = 2 * convolutions * 256 + 2 * merge * 256
    assert 4 * (STEPS * planes + pairs * 512**2) + STEPS * first * 256 == pytest.approx(298.9e9, rel=0.01)
    assert macs == (convolutions + merge) * 256 + 2 * 128 * 256**2  # ours, in the first step
    assert pairs * 256**2 * 4 + 4 * STEPS * (convolutions + merge) * 256 < 0.5 * 298.9e9


def test_convgru_ensemble_has_the_size_of_mlcast():
    with torch.device("meta"):
        assert count_parameters(build_model("convgru-ensemble")) == 4_012_017  # benchmarks: mlcast-convgru, 4.01 M
        assert count_parameters(build_model("convgru-ensemble", blocks=5)) == 64_177_905  # of its experiment


@pytest.mark.parametrize(("height", "width"), [(16, 16), (13, 18), (4, 5)])
def test_any_size_and_any_lead_comes_back_and_samples_do_not_mix(name, height, width):
    model, frames = small(name).eval(), torch.rand(2, 3, 1, height, width)
    with torch.no_grad():
        forecast = model(frames, lead_steps=4)
        assert forecast.shape == (2, 4, 1, height, width)
        alone = torch.cat([model(frames[i : i + 1], lead_steps=4) for i in range(2)])
        torch.testing.assert_close(forecast, alone)
        torch.testing.assert_close(model(frames, lead_steps=2), forecast[:, :2])


def test_every_parameter_gets_a_gradient_and_recomputing_gives_the_same(name):
    gradients = []
    for recompute in (False, True):
        model = small(name)
        model.recompute = recompute
        torch.manual_seed(7)
        forecast, loss = model.predict_with_loss(torch.rand(2, 3, 1, 16, 16), 3)
        (forecast.square().sum() + loss).backward()
        assert [n for n, p in model.named_parameters() if p.grad is None or not bool(p.grad.any())] == []
        gradients.append([p.grad for p in model.parameters()])
    for plain, recomputed in zip(*gradients, strict=True):
        torch.testing.assert_close(recomputed, plain)


def test_moments_of_a_difference_are_those_of_its_derivative():
    kernel = torch.zeros(1, 1, 7, 7)
    kernel[0, 0, 3, 2:5] = torch.tensor([1.0, -2.0, 1.0])  # the second derivative along a row
    wanted = torch.zeros(7, 7)
    wanted[0, 2] = 1.0
    wanted[0, 4] = 2 / 24  # its error is of fourth order
    wanted[0, 6] = 2 / 720
    torch.testing.assert_close(moments(kernel)[0, 0], wanted)


def test_phydnet_takes_the_truth_where_the_schedule_has_it():
    model, frames = small("phydnet").eval(), torch.rand(1, 6, 1, 8, 8)
    truth = torch.ones(5, 1, dtype=torch.bool)
    with torch.no_grad():
        own = model.predict_all(frames[:, :3], 3)
        fed = model.predict_all(frames[:, :3], 3, future_BTCHW=frames[:, 3:], use_truth_TB=truth)
    assert torch.equal(own[:, :3], fed[:, :3])
    assert not torch.equal(own[:, 3], fed[:, 3])
    assert resolve("kth", file=None, sets=[], model="phydnet").schedule == "scheduled"


def test_members_differ_come_back_and_have_their_mean_as_forecast(tmp_path):
    model, rate = small("convgru-ensemble").eval(), np.random.default_rng(1).random((3, 9, 12), np.float32)
    frames = torch.rand(1, 3, 1, 9, 12)
    with torch.no_grad():
        members = model.draw_members(frames, 2, 4, seed=2022)
        assert members.shape == (1, 4, 2, 1, 9, 12)
        assert float(members.std(dim=1).min()) > 0
        torch.testing.assert_close(model(frames, lead_steps=2), members.mean(dim=1))
        assert not torch.equal(model.draw_members(frames, 2, 4, seed=1), members)
    card = {"transform": {"name": "log"}, "input_steps": 3, "cadence_minutes": 5, "pixel_m": 1000.0, "version": "1"}
    architecture = {"name": "convgru-ensemble", "options": SMALL["convgru-ensemble"]}
    save_model(tmp_path / "c", model, {**card, "architecture": architecture})
    rate[-1, 0, 0] = np.nan
    forecaster = load_network(tmp_path / "c", name="c", device="cpu")
    result: Any = forecaster.forecast(rate, 2, members=3)
    assert result.members_MLHW.shape == (3, 2, 9, 12)
    np.testing.assert_allclose(result.rate_mmh_LHW, result.members_MLHW.mean(axis=0), rtol=1e-5)
    share = (result.members_MLHW[:, :, 1:] >= 0.1).mean(axis=0)
    np.testing.assert_allclose(result.exceedance_probability_KLHW[0, :, 1:], share, rtol=1e-6)
    assert np.isnan(result.rate_mmh_LHW[:, 0, 0]).all()
    assert forecaster.forecast(rate, 2).members_MLHW is None


def _module(model: str, **keys) -> NowcastModule:
    config = resolve("kth", file=None, sets=[f"{key}={value}" for key, value in keys.items()], model=model)
    options = SMALL.get(model, {"hidden_channels": 4, "num_layers": 2})
    built: Any = build_model(model, **options)
    return NowcastModule(built, config.build_transform(), config, total_steps=2, rain=False)


def test_members_train_by_their_crps_and_other_models_do_not():
    assert resolve("germany", file=None, sets=[], model="convgru-ensemble").loss == "crps"
    assert resolve("germany", file=None, sets=[], model="ms-convlstm").loss == "l1+l2"
    module = _module("convgru-ensemble")
    past, future = torch.rand(2, 3, 1, 8, 8), torch.rand(2, 3, 1, 8, 8)
    module.model.train()
    torch.manual_seed(5)
    members, change = module.model.predict_with_loss(past, 3)
    assert members.shape == (2, 3, 2, 8, 8)
    one, two = members[:, :, :1], members[:, :, 1:]
    by_hand = ((one - future).abs() + (two - future).abs()) / 2 - (one - two).abs() / 4
    torch.testing.assert_close(module._loss(members, future), by_hand.sum(dim=(2, 3, 4)).mean())
    assert change is not None
    with pytest.raises(ConfigError, match="expected crps or afcrps for convgru-ensemble"):
        _module("convgru-ensemble", loss="l1")
    with pytest.raises(ConfigError, match="expected a loss of one forecast for ms-convlstm, which has no members"):
        _module("ms-convlstm", loss="crps")


def test_windows_see_their_own_cells_and_no_filled_up_ones():
    attention: Any = WindowAttention(4, 1, 4, shifted=False)
    with torch.no_grad():
        for parameter in attention.parameters():
            parameter.zero_()
        attention.pack.weight[8:] = torch.eye(4)  # values are the field, all weights are alike
        attention.mix.weight.copy_(torch.eye(4))
        x = torch.rand(1, 6, 4, 4)
        seen = attention(x)
    torch.testing.assert_close(seen[0, 0, 0], x[0, :4].mean(dim=(0, 1)))
    torch.testing.assert_close(seen[0, 5, 3], x[0, 4:].mean(dim=(0, 1)))  # two of the window's four rows exist


def test_shifted_windows_end_at_the_border_of_the_field():
    attention: Any = WindowAttention(4, 1, 4, shifted=True)
    nn.init.zeros_(attention.bias_NH)
    with torch.no_grad():
        for parameter in attention.parameters():
            parameter.zero_()
        attention.pack.weight[8:] = torch.eye(4)
        attention.mix.weight.copy_(torch.eye(4))
        x = torch.rand(1, 8, 8, 4)
        seen = attention(x)
    torch.testing.assert_close(seen[0, 0, 0], x[0, :2, :2].mean(dim=(0, 1)))  # not the other end of the field
    torch.testing.assert_close(seen[0, 3, 4], x[0, 2:6, 2:6].mean(dim=(0, 1)))


@pytest.mark.parametrize(
    ("name", "options", "words"),
    [
        ("mau", {"tau": 0}, "tau=0"),
        ("swinlstm", {"kernel_size": 5}, "kernel_size=5"),
        ("swinlstm", {"heads": 5}, "multiple of its heads"),
        ("e3d-lstm", {"layout": "right"}, "layout: expected exact or reference"),
        ("e3d-lstm", {"recall": 0}, "recall=0"),
        ("phydnet", {"hidden_channels": 48}, "multiple of 32"),
        ("phydnet", {"kernel_size": 5}, "derivative_kernel"),
        ("convgru-ensemble", {"hidden_channels": 32}, "option blocks"),
        ("convgru-ensemble", {"training_members": 1}, "training_members of at least 2"),
    ],
)
def test_impossible_options_are_refused_with_what_is_expected(name, options, words):
    with pytest.raises(InputError, match=words):
        build_model(name, **options)
