"""Scores of pictures against numbers worked out by hand, and against the libraries that have them."""

import math
import time

import numpy as np
import pytest
import torch
from torchmetrics.functional.image import structural_similarity_index_measure

from verification.scores import SCORES

PICTURES = ("mse", "mae", "ssim", "psnr", "gdl")


def value(name, forecast, observed):
    score = SCORES.get(name)()
    return score.value(score.totals(np.asarray(forecast, float), np.asarray(observed, float)))


def test_a_two_by_two_frame_by_hand():
    forecast, observed = [[0.0, 0.5], [1.0, 0.0]], [[0.0, 1.0], [0.5, 0.25]]
    # differences 0, -1/2, 1/2, -1/4
    assert value("mse", forecast, observed) == pytest.approx(0.25 + 0.25 + 0.0625)
    assert value("mae", forecast, observed) == pytest.approx(1.25)
    assert value("psnr", forecast, observed) == pytest.approx(10 * math.log10(1 / (0.5625 / 4 + 1e-5)))
    # steps down: |1-0|, |0-0.5| = 1, 0.5 against 0.5, 0.75; steps right: 0.5, 1 against 1, 0.25
    assert value("gdl", forecast, observed) == pytest.approx(0.5 + 0.25 + 0.5 + 0.75)


def test_a_constant_error():
    truth = np.full((3, 16, 20), 0.4)
    assert value("mse", truth + 0.1, truth) == pytest.approx(16 * 20 * 0.01)
    assert value("mae", truth + 0.1, truth) == pytest.approx(16 * 20 * 0.1)
    assert value("gdl", truth + 0.1, truth) == pytest.approx(0.0)
    # no variance on either side: only the means count
    assert value("ssim", truth + 0.1, truth) == pytest.approx((2 * 0.5 * 0.4 + 1e-4) / (0.5**2 + 0.4**2 + 1e-4))


def test_equal_frames():
    frames = np.random.default_rng(0).random((2, 12, 12))
    assert value("psnr", frames, frames) == pytest.approx(50.0)
    assert value("ssim", frames, frames) == pytest.approx(1.0)


def test_the_mean_of_frames_comes_last():
    truth = np.zeros((2, 12, 12))
    forecast = np.stack([truth[0], truth[0] + 0.5])
    assert value("mse", forecast, truth) == pytest.approx((0 + 144 * 0.25) / 2)
    # not the PSNR of the mean error
    assert value("psnr", forecast, truth) == pytest.approx((50 - 10 * math.log10(0.25 + 1e-5)) / 2)


@pytest.mark.parametrize("name", PICTURES)
def test_a_forecast_is_clipped(name):
    random = np.random.default_rng(1)
    forecast, truth = random.uniform(-0.5, 1.5, (4, 12, 12)), random.random((4, 12, 12))
    assert value(name, forecast, truth) == value(name, forecast.clip(0, 1), truth)


@pytest.mark.parametrize("shape", [(12, 11), (32, 32), (31, 45)])
def test_ssim_equals_a_library_s_where_the_window_is_inside_the_frame(shape):
    random = np.random.default_rng(2)
    forecast, truth = random.random((2, 3, *shape))
    forecast[:, :9], truth[:, :9] = 0.0, 0.0
    pair = (torch.from_numpy(x)[:, None] for x in (forecast, truth))
    _, place_N1HW = structural_similarity_index_measure(*pair, data_range=1.0, return_full_image=True)
    expected = float(place_N1HW[..., 5:-5, 5:-5].mean())  # the library goes on over mirrored edges, the paper does not
    assert value("ssim", forecast, truth) == pytest.approx(expected, rel=1e-9)


def test_ssim_of_a_frame_smaller_than_its_window():
    random = np.random.default_rng(3)
    forecast, truth = random.random((2, 4, 4))
    place = np.arange(4) - 1.5
    weight = np.exp(-(place**2) / (2 * (1.5 * 4 / 11) ** 2))
    window = np.outer(weight, weight) / weight.sum() ** 2
    mean_f, mean_o = (window * forecast).sum(), (window * truth).sum()
    var_f, var_o = (window * forecast**2).sum() - mean_f**2, (window * truth**2).sum() - mean_o**2
    cov = (window * forecast * truth).sum() - mean_f * mean_o
    below = (mean_f**2 + mean_o**2 + 1e-4) * (var_f + var_o + 9e-4)
    expected = (2 * mean_f * mean_o + 1e-4) * (2 * cov + 9e-4) / below
    assert value("ssim", forecast, truth) == pytest.approx(expected)


@pytest.mark.parametrize("name", SCORES.names())
def test_a_hundred_frames_of_the_paper_s_germany_take_no_time(name):
    score = SCORES.get(name)()
    forecast, truth = np.random.default_rng(4).random((2, 20, 124, 124), np.float32)
    if rates := getattr(score, "thresholds_mmh", ()):
        forecast = forecast[:, None].repeat(len(rates), axis=1)
    if score.takes == "members":
        forecast = forecast[:, None] * np.linspace(0.5, 1.5, 5, dtype=np.float32)[:, None, None]
    seconds = []
    for _ in range(4):  # the first fills caches; the best of the others is least disturbed by what else runs
        began = time.thread_time()
        score.totals(forecast, truth)
        seconds.append(time.thread_time() - began)
    per_second = 20 / min(seconds)
    assert per_second > 30, f"{name}: {per_second:.0f} frames of 124 x 124 per second"
