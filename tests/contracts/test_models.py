"""What every registered model keeps, flat and multi-scale."""

from typing import Any

import numpy as np
import pytest
import torch

from core.errors import InputError, UnknownNameError
from models import build_model, recurrent_models
from models.build import options_of
from models.checkpoint import load_model, save_model
from models.rollout import from_patches, to_patches
from models.skips import SKIPS
from models.stack import RecurrentStack

CARD = {
    "transform": {"name": "reflectivity"},
    "input_steps": 3,
    "cadence_minutes": 30,
    "pixel_m": 7258.0,
    "version": "1",
}


FLAT_IN_LONG = ("e3d-lstm", "mau", "swinlstm")
"""Slow cells: `make test` tries their multi-scale models, `make test-long` the flat ones as well."""


def _marked(name: str, *more: Any) -> Any:
    return pytest.param(*(name, *more), marks=[pytest.mark.long] if name in FLAT_IN_LONG else [])


@pytest.fixture(params=[_marked(name) for name in recurrent_models()])
def name(request):
    return request.param


def _build(name, **options) -> Any:
    torch.manual_seed(3)
    return build_model(name, hidden_channels=4, **options)


@pytest.mark.parametrize(("height", "width"), [(8, 8), (31, 45), (30, 12), (4, 5)])
def test_any_size_comes_back_as_it_went_in(name, height, width):
    with torch.no_grad():
        forecast = _build(name)(torch.rand(1, 2, 1, height, width), lead_steps=2)
    assert forecast.shape == (1, 2, 1, height, width)
    assert bool(torch.isfinite(forecast).all())


def test_samples_of_a_batch_do_not_mix(name):
    model, frames = _build(name), torch.rand(3, 3, 1, 13, 18)
    alone = torch.cat([model(frames[i : i + 1], lead_steps=2) for i in range(3)])
    torch.testing.assert_close(model(frames, lead_steps=2), alone)


DEPTHS = (1, 2, 3, 4, 5, 6, 7)
COMBINATIONS = [  # all for two cells; for the others each skip at one depth, and each depth at one skip
    _marked(name, skip, num_layers)
    for name in recurrent_models()
    for skip in SKIPS.names()
    for num_layers in DEPTHS
    if name.removeprefix("ms-") in {"convlstm", "mim"} or skip == "unet" or num_layers == 6
]


@pytest.mark.parametrize(("name", "skip", "num_layers"), COMBINATIONS)
def test_every_depth_and_skip_uses_every_parameter(name, skip, num_layers):
    model = _build(name, num_layers=num_layers, skip=skip)
    predictions, own_loss = model.predict_with_loss(torch.rand(1, 3, 1, 16, 19), 2)
    (predictions.square().sum() + (own_loss or 0)).backward()
    assert [n for n, p in model.named_parameters() if p.grad is None] == []


def test_save_and_load_give_the_same_forecast(name, tmp_path):
    model, frames = _build(name, residual=True), torch.rand(1, 3, 1, 12, 12)
    architecture = {"name": name, "options": {"hidden_channels": 4, "residual": True}}
    save_model(tmp_path / "c", model, {**CARD, "architecture": architecture})
    assert torch.equal(load_model(tmp_path / "c")(frames, lead_steps=3), model(frames, lead_steps=3))


@pytest.mark.parametrize("patch", [2, 4])
def test_patches_of_any_size_come_back(name, patch):
    model = _build(name, patch=patch, memory_skip="unet")
    assert model(torch.rand(1, 3, 1, 19, 30), lead_steps=2).shape == (1, 2, 1, 19, 30)
    field = torch.rand(2, 3, 9, 14)
    torch.testing.assert_close(from_patches(to_patches(field, patch), patch, (9, 14)), field)


def test_recomputing_gives_the_same_gradients(name):
    model, frames = _build(name), torch.rand(1, 3, 1, 12, 12)
    gradients = []
    for recompute in (False, True):
        model.recompute = recompute
        model.zero_grad()
        predictions, own_loss = model.predict_with_loss(frames, 3)
        (predictions.square().sum() + (own_loss or 0)).backward()
        gradients.append([p.grad.clone() for p in model.parameters()])
    for plain, recomputed in zip(*gradients, strict=True):
        assert torch.equal(plain, recomputed)


def test_a_seed_decides_the_parameters_and_nothing_else_the_forecast(name):
    frames = torch.rand(1, 3, 1, 12, 12)
    one, two = _build(name), _build(name)
    assert all(torch.equal(a, b) for a, b in zip(one.parameters(), two.parameters(), strict=True))
    forecast = one(frames, lead_steps=2)
    assert torch.equal(forecast, two(frames, lead_steps=2))
    assert torch.equal(forecast, one(frames, lead_steps=2))


def test_type_of_the_input_is_kept_and_bf16_is_finite(name):
    model, frames = _build(name), torch.rand(1, 3, 1, 12, 12)
    assert model.double()(frames.double(), lead_steps=1).dtype == torch.float64
    with torch.autocast("cpu", torch.bfloat16):
        assert bool(torch.isfinite(model.float()(frames, lead_steps=2)).all())


def test_more_leads_do_not_change_the_earlier_ones(name):
    model, frames = _build(name), torch.rand(1, 3, 1, 12, 12)
    torch.testing.assert_close(model(frames, lead_steps=4)[:, :2], model(frames, lead_steps=2))


def test_own_prediction_is_fed_back_unless_the_truth_is_used(name):
    model, frames = _build(name).double(), torch.rand(2, 6, 1, 12, 12, dtype=torch.float64)
    past, future = frames[:, :3], frames[:, 3:]
    never = np.array([[True] * 2] * 3 + [[False] * 2] * 2)
    once = never.copy()
    once[3, 1] = True  # the second sample sees the true frame 3
    own = model.predict_all(past, 3)
    torch.testing.assert_close(model.predict_all(past, 3, future_BTCHW=future, use_truth_TB=never), own)
    mixed = model.predict_all(past, 3, future_BTCHW=future, use_truth_TB=once)
    torch.testing.assert_close(mixed[0], own[0])
    assert not torch.allclose(mixed[1, 3], own[1, 3], rtol=1e-9)  # a new CMS-LSTM hardly listens to its input


@pytest.mark.parametrize(
    ("multiscale", "num_layers", "levels"),
    [(True, 6, (0, 1, 2, 2, 1, 0)), (True, 5, (0, 1, 2, 1, 0)), (True, 1, (0,)), (False, 6, (0,) * 6)],
)
def test_multiscale_levels_mirror(multiscale, num_layers, levels):
    stack = RecurrentStack("convlstm", 2, num_layers=num_layers, kernel_size=3, multiscale=multiscale, skip=None)
    assert stack.levels == levels


def test_bad_names_options_and_shapes_name_what_is_expected():
    with pytest.raises(UnknownNameError, match=r"did you mean .*ms-convlstm"):
        build_model("ms-convltsm")
    with pytest.raises(InputError, match="skip, memory_skip, patch, residual"):
        build_model("ms-convlstm", dropout=0.5)
    model = build_model("ms-convlstm", hidden_channels=2)
    with pytest.raises(InputError, match=r"expected shape \(batch, time, 1, rows, columns\)"):
        model(torch.rand(1, 3, 2, 8, 8), lead_steps=1)
    with pytest.raises(InputError, match="at least 4 x 4"):
        model(torch.rand(1, 3, 1, 3, 8), lead_steps=1)
    with pytest.raises(InputError, match="at least 1"):
        model(torch.rand(1, 3, 1, 8, 8), lead_steps=0)
    with pytest.raises(InputError, match="odd kernel"):
        build_model("convlstm", kernel_size=4)


@pytest.mark.parametrize(
    ("name", "options", "more"),
    [
        ("trajgru", {"links": 3, "flow_kernel": 3, "flow_channels": 6}, "warp"),
        ("motionrnn", {"warp": "reference", "layout": "reference"}, "layout"),
        ("modernn", {"rounds": 2}, "rounds"),
        ("cms-lstm", {"rounds": 3}, "rounds"),
        ("preciplstm", {"window": 5}, "window"),
    ],
)
def test_options_of_a_cell_are_options_of_its_models(name, options, more):
    frames = torch.rand(1, 3, 1, 12, 12)
    for prefix in ("", "ms-"):
        assert more in options_of(prefix + name)
        plain, other = _build(prefix + name, num_layers=3), _build(prefix + name, num_layers=3, **options)
        if [p.shape for p in plain.parameters()] == [p.shape for p in other.parameters()]:
            other.load_state_dict(plain.state_dict())
        assert not torch.allclose(plain(frames, lead_steps=2), other(frames, lead_steps=2), rtol=1e-6, atol=1e-9)
    with pytest.raises(InputError, match=f"got {next(iter(options))}"):
        _build("convlstm", **options)


@pytest.mark.parametrize(
    ("name", "options", "words"),
    [
        ("trajgru", {"links": 0}, "at least 1, got links=0"),
        ("trajgru", {"flow_kernel": 4}, "odd numbers, got flow_kernel=4"),
        ("ms-motionrnn", {"layout": "right"}, "layout: expected exact or reference, got 'right'"),
        ("modernn", {"rounds": 0}, "rounds=0"),
        ("preciplstm", {"window": 0}, "window=0"),
    ],
)
def test_impossible_options_of_a_cell_name_what_is_expected(name, options, words):
    with pytest.raises(InputError, match=words):
        _build(name, **options)
