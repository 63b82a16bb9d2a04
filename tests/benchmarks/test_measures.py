"""Each measure against something worked out or made to measure."""

import mmap
import os

import numpy as np
import pytest
import torch
from torch import nn

from benchmarks import training_step
from benchmarks.fresh import in_fresh_process, peak_resident_bytes, resident_bytes
from benchmarks.growth import Curve, slope
from benchmarks.limits import HardwareLimits, measure_limits
from benchmarks.setting import BenchmarkSetting, quick
from benchmarks.sides import PlainForecaster, Training, convolution_type, network_frames, rain_mmh, textbook_training
from models import build_model

SETTING = quick(BenchmarkSetting())


def test_a_fraction_of_the_peak_is_of_the_better_way_in_the_same_type():
    limits = HardwareLimits({"float32": 10.0, "bfloat16": 80.0}, {"float32": 20.0, "bfloat16": 40.0}, 1.0)
    assert limits.fraction(50, 10.0, torch.float32) == 0.5
    assert limits.fraction(50, 10.0, torch.bfloat16) == 0.125


def test_the_limits_of_this_machine_are_numbers_a_machine_can_have():
    limits = measure_limits("cpu", 0.02)
    rates = [*limits.matmul_flops.values(), *limits.convolution_flops.values(), limits.copy_bytes_per_s]
    assert all(1e6 < rate < 1e16 for rate in rates)


@pytest.mark.skipif(not os.access("/proc/self/clear_refs", os.W_OK), reason="needs Linux's /proc")
def test_the_peak_is_what_was_held_and_let_go():
    before = resident_bytes()
    with peak_resident_bytes() as peak, mmap.mmap(-1, 64 * 2**20) as held:  # the heap may have let go as much before
        held[:: mmap.PAGESIZE] = b"1" * (len(held) // mmap.PAGESIZE)
    assert peak() - before == pytest.approx(64 * 2**20, rel=0.1)
    with peak_resident_bytes() as peak:
        pass
    assert peak() - before < 32 * 2**20  # the former peak is forgotten


def test_a_step_that_does_not_fit_is_made_smaller_on_both_sides(monkeypatch):
    monkeypatch.setattr(training_step, "free_bytes", lambda device: 3_000)
    monkeypatch.setattr(training_step, "textbook_saved_bytes", lambda name, setting: 2 * setting.height**2)
    fitted = training_step.fitting("ms-convlstm", SETTING)
    assert (fitted.height, fitted.width) == (16, 16)  # 1.5 * 2 * 32 ** 2 = 3072 is too much


def test_a_fresh_process_is_another_one():
    assert in_fresh_process(os.getpid) != os.getpid()


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_the_type_of_the_convolutions_is_seen_as_they_run(dtype):
    layer, x_BCHW = nn.Conv2d(1, 2, 3).to(dtype), torch.zeros(1, 1, 4, 4, dtype=dtype)
    with torch.inference_mode():
        assert convolution_type(lambda: layer(x_BCHW)) == dtype


def test_invented_rain_drifts_and_is_neither_dry_nor_everywhere():
    rate_mmh_THW = rain_mmh(40, 30, 3)
    assert rate_mmh_THW.shape == (3, 40, 30)
    np.testing.assert_array_equal(rate_mmh_THW[1, :, :-2], rate_mmh_THW[0, :, 2:])
    assert 0.1 < (rate_mmh_THW > 0.1).mean() < 0.5


def test_a_step_takes_the_loss_down():
    training = textbook_training("ms-convlstm", SETTING)
    losses = [_loss(training)]
    for _ in range(5):
        training.step()
    losses.append(_loss(training))
    assert losses[1] < losses[0]


def test_the_fast_step_does_the_work_of_the_plain_one():
    model = build_model("ms-convlstm", hidden_channels=8)
    plain = Training(model, network_frames(SETTING), SETTING.input_steps, device="cpu", mixed=False)
    before = _loss(plain)
    mixed = Training(model, network_frames(SETTING), SETTING.input_steps, device="cpu", mixed=True)
    mixed.step()
    assert _loss(plain) < before
    assert all(parameter.dtype == torch.float32 for parameter in model.parameters())


def test_a_plain_forecaster_runs_the_model_as_it_is():
    class Last(nn.Module):
        def forward(self, frames_BTCHW, lead_steps):
            assert frames_BTCHW.dtype == torch.float32
            return frames_BTCHW[:, -1:].expand(-1, lead_steps, -1, -1, -1)

    rate_mmh_THW = np.full((5, 6, 7), 2.0, np.float32)
    forecast = PlainForecaster(Last(), "last").forecast(rate_mmh_THW, 3)
    np.testing.assert_allclose(forecast.rate_mmh_LHW, np.full((3, 6, 7), 2.0), rtol=1e-5)


def test_the_slope_is_the_exponent_of_a_power_law():
    values = (2, 4, 16)
    assert slope(values, [3 * value**1.5 for value in values]) == pytest.approx(1.5)
    curve = Curve("edge", "s", "m", values, tuple(float(v**2) for v in values), tuple(5.0 * v for v in values))
    assert curve.row()["slope"] == pytest.approx(2)
    assert curve.row()["paper's slope"] == pytest.approx(1)


def _loss(training):
    with torch.no_grad():
        predicted, _ = training.model.predict_with_loss(training.frames_BTCHW[:, : training.given], 2)
    return float((predicted - training.frames_BTCHW[:, 1:]).abs().sum())
