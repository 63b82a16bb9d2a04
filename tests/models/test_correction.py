"""The network of the native model: what it reads, what it changes, and that rain carries it along."""

from typing import Any

import numpy as np
import pytest
import torch

from models.checkpoint import load_model, save_model
from models.guided.carry import CarriedUnits
from models.guided.correction import LeadCorrections, moving_frames, network_factor, resting_logits
from models.guided.levels import padded, window_levels
from models.guided.moving import NETWORK_LEADS, NODES_MMH, MovingCorrection, corrected_KN
from models.guided.native import NativeForecaster
from models.guided.network import RATES_MMH
from models.guided.pointwise import PointwiseModel, calibrated_logits
from models.guided.trajectories import Trajectories, traced_LCHW

SMALL: dict[str, Any] = {"hidden_channels": 4, "num_layers": 4}


def _rain(frames=7, rows=64, cols=80, east=2.0, seed=0):
    """Showers that drift east by `east` cells a step."""
    random = np.random.default_rng(seed)
    y, x = np.mgrid[:rows, :cols].astype(np.float32)
    field = np.zeros((frames, rows, cols), np.float32)
    for row, col, size, peak in random.uniform((5, 5, 3, 3), (rows - 5, cols - 30, 6, 20), (8, 4)):
        for t in range(frames):
            field[t] += peak * np.exp(-((x - col - east * t) ** 2 + (y - row) ** 2) / (2 * size**2))
    return np.where(field < 0.1, 0, field).astype(np.float32)


def _models(seed=0, **network):
    """The same statistical model without and with a network."""
    torch.manual_seed(seed)
    plain = PointwiseModel(hidden=2)
    whole = PointwiseModel(hidden=2, network=SMALL | network)
    whole.load_state_dict(plain.state_dict(), strict=False)
    return plain, whole


def _uniform(rows, cols, east, steps):
    motion = np.stack([np.full((rows, cols), east), np.zeros((rows, cols))]).astype(np.float32)
    return Trajectories(1, motion, traced_LCHW(motion, steps))


def test_a_network_that_has_learnt_nothing_changes_nothing(tmp_path):
    plain, whole = _models()
    architecture = {"name": "pointwise", "options": {"hidden": 2, "network": SMALL}}
    card = {"kind": "native", "version": "1", "architecture": architecture, "transform": {"name": "log"}}
    save_model(tmp_path, whole, card | {"input_steps": 25, "cadence_minutes": 5, "pixel_m": 1000.0})
    stored = load_model(tmp_path)
    assert isinstance(stored, PointwiseModel)
    assert stored.network is not None
    one, other = (NativeForecaster(each, "native", "1", device="cpu") for each in (plain, stored))
    first, second = (each.forecast(_rain(), 6, cadence_minutes=15, pixel_m=1000) for each in (one, other))
    np.testing.assert_array_equal(first.exceedance_probability_KLHW, second.exceedance_probability_KLHW)
    np.testing.assert_array_equal(first.rate_mmh_LHW, second.rate_mmh_LHW)


def test_a_shift_counts_from_half_an_hour_on():
    plain, whole = _models(centred=False)
    with torch.no_grad():
        whole.network.head.bias[: len(NODES_MMH) * whole.network.patch**2] = 1.0
    one, other = (NativeForecaster(each, "native", "1", device="cpu") for each in (plain, whole))
    first, second = (
        each.forecast(_rain(), 5, cadence_minutes=15, pixel_m=4000).exceedance_probability_KLHW for each in (one, other)
    )
    assert first is not None
    assert second is not None
    np.testing.assert_array_equal(first[:, :2], second[:, :2])
    assert (second[:3, 2:] > first[:3, 2:]).all()
    assert (second[:3, 3] - first[:3, 3]).mean() > (second[:3, 2] - first[:3, 2]).mean()


@pytest.mark.parametrize("centred", [False, True])
def test_the_strength_is_a_factor(centred):
    torch.manual_seed(3)
    frames, prior = torch.rand(1, 4, 3, 24, 32), torch.randn(1, len(NETWORK_LEADS), len(RATES_MMH), 24, 32) - 2
    whole, half = (MovingCorrection(**SMALL, centred=centred, strength=strength) for strength in (1.0, 0.5))
    torch.nn.init.normal_(whole.head.weight, 0, 0.1)
    half.load_state_dict(whole.state_dict())
    found = whole(frames, prior, 4.0)
    assert found.abs().max() > 0.1
    torch.testing.assert_close(half(frames, prior, 4.0), 0.5 * found)


def test_the_frames_of_a_storm_that_moves_as_traced_are_equal():
    fields = _rain(13, 64, 96, east=2.0)
    paths = _uniform(64, 96, 2.0, 12)
    frames = moving_frames(fields, paths, 5, 4.0)
    assert frames.shape == (4, 3, 64, 96)
    inner = (slice(None), slice(8, -8), slice(30, -4))
    for frame in frames[:-1]:
        np.testing.assert_allclose(frame[inner], frames[-1][inner], atol=0.05)
    assert np.abs(moving_frames(fields, _uniform(64, 96, 0.0, 12), 5, 4.0)[0] - frames[-1])[inner].max() > 0.5


def test_ages_that_a_cadence_lacks_are_the_nearest_ones():
    fields = _rain(3)
    frames = moving_frames(fields, _uniform(64, 80, 0.0, 3), 30, 4.0)
    for found, wanted in zip(frames[:, 0], (fields[0], fields[1], fields[1], fields[2]), strict=True):
        np.testing.assert_allclose(found, np.log1p(wanted / 0.1), rtol=1e-5)


def test_the_logits_at_rest_are_those_of_the_carried_model_without_motion():
    fields = padded(_rain(), 4.0)
    paths = _uniform(fields.shape[1], fields.shape[2], 0.0, 4)
    torch.manual_seed(1)
    model = PointwiseModel(hidden=2)
    torch.nn.init.normal_(model.head_UK)
    units = CarriedUnits(window_levels(fields, (64, 80), paths, 15, 4.0), paths, model, 4.0, torch.device("cpu"))
    for minutes, step in ((30, 2), (60, 4)):
        carried = model.logits(units.at(step, minutes)[0].flatten(1)).view(-1, 64, 80)
        torch.testing.assert_close(
            resting_logits(units, 1, minutes)[:, 4:-4, 4:-4], carried[:, 4:-4, 4:-4], atol=1e-3, rtol=0
        )


def test_what_the_network_finds_is_carried_along():
    """A shift in one place is found downstream at the lead."""
    fields = padded(_rain(cols=96), 2.0)
    paths = _uniform(fields.shape[1], fields.shape[2], 3.0, 10)
    _, whole = _models()
    units = CarriedUnits(window_levels(fields, (64, 96), paths, 15, 2.0), paths, whole, 2.0, torch.device("cpu"))
    with torch.no_grad():
        found = LeadCorrections(units, fields, paths, 15)
        found.fields_LGHW = torch.zeros_like(found.fields_LGHW)
        found.fields_LGHW[:, 0, 16, 10] = 1.0  # cells of 4 km: rows 32 and 33, columns 20 and 21
        assert network_factor(2.0) == 2
        for step in (4, 10):
            row, col = np.unravel_index(int(found.at(step, step * 15)[0].argmax()), (64, 96))
            assert row in (32, 33)
            assert abs(col - (20.5 + 3 * step)) <= 1


def test_a_centred_network_keeps_the_expected_area():
    torch.manual_seed(2)
    frames, prior = torch.rand(1, 4, 3, 24, 32), torch.randn(1, len(NETWORK_LEADS), len(RATES_MMH), 24, 32) - 2
    frames[:, :, -1] = 1
    changes = []
    for centred in (True, False):
        network = MovingCorrection(**SMALL, centred=centred)
        torch.nn.init.constant_(network.state_dict()["head.bias"][: len(NODES_MMH) * network.patch**2], 0.5)
        torch.nn.init.normal_(network.head.weight, 0, 0.1)
        fields = network(frames, prior, 4.0)[0, 1].detach()
        logits = prior[0, 1].flatten(1)
        mix = torch.zeros(len(RATES_MMH), len(NODES_MMH))
        mix[0, 0] = 1
        after = corrected_KN(logits, fields.flatten(1), mix)[0].sigmoid().sum()
        changes.append(abs(float(after / logits[0].sigmoid().sum()) - 1))
    assert changes[0] < 0.03 < 0.1 < changes[1]


@pytest.mark.parametrize(
    ("cadence", "pixel_m", "shape"),
    [(5, 250, (3, 90)), (10, 1000, (1, 1)), (15, 4000, (41, 33)), (30, 10000, (50, 61))],
)
@pytest.mark.parametrize("name", ["ms-convlstm", "convlstm"])
def test_any_cadence_cell_and_size(name, cadence, pixel_m, shape):
    _, whole = _models(name=name)
    torch.nn.init.normal_(whole.network.head.weight, 0, 0.2)
    fields = np.full((3, *shape), 2.0, np.float32)
    fields[:, :, : shape[1] // 3] = np.nan
    result = NativeForecaster(whole, "native", "1", device="cpu").forecast(
        fields, 4, cadence_minutes=cadence, pixel_m=pixel_m
    )
    covered = np.isfinite(fields[-1])
    assert result.exceedance_probability_KLHW is not None
    assert np.isfinite(result.exceedance_probability_KLHW[:, :, covered]).all()
    assert (np.diff(result.exceedance_probability_KLHW[:, :, covered], axis=0) <= 0).all()


def test_calibrated_logits_are_those_of_the_forecast():
    logits = torch.linspace(-8, 8, 40).repeat(len(RATES_MMH), 1)
    ordered = torch.cummin(calibrated_logits(logits, RATES_MMH).sigmoid(), dim=0).values
    torch.testing.assert_close(PointwiseModel().calibrated_KN(logits.clone()), ordered)
