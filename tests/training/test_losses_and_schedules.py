"""Loss values and sampling schedules worked out by hand."""

import numpy as np
import pytest
import torch

from training.loader import StepSampler
from training.losses import LOSSES, rain_weight
from training.schedules import SCHEDULES


def test_loss_of_a_zero_prediction_does_not_depend_on_frames_or_batch():
    for batch, frames in ((1, 3), (4, 9)):
        truth = torch.full((batch, frames, 1, 6, 7), 0.3)
        weight = torch.ones_like(truth)
        zero = torch.zeros_like(truth)
        np.testing.assert_allclose(LOSSES.get("l1+l2")(zero, truth, weight), 42 * (0.3 + 0.09), rtol=1e-6)
        np.testing.assert_allclose(LOSSES.get("l1")(zero, truth, weight), 42 * 0.3, rtol=1e-6)
        np.testing.assert_allclose(LOSSES.get("l2")(zero, truth, weight), 42 * 0.09, rtol=1e-6)


@pytest.mark.parametrize("name", LOSSES.names())
def test_pixels_that_were_not_observed_do_not_count(name):
    truth = torch.rand(2, 3, 1, 4, 4)
    rate = truth.clone()
    rate[:, :, :, 0] = float("nan")
    wrong = truth.clone()
    wrong[:, :, :, 0] += 5
    assert LOSSES.get(name)(wrong, truth, rain_weight(rate, 1.0)) == 0


def test_rain_weighs_by_its_true_rate():
    rate = torch.tensor([0.0, 1.0, 3.0, 30.0, 200.0, float("nan")])
    assert rain_weight(rate, 0.0).tolist() == [1, 1, 1, 1, 1, 0]
    assert rain_weight(rate, 0.5).tolist() == [1, 1.5, 2.5, 16, 16, 0]


def test_scheduled_sampling_falls_in_equal_steps():
    schedule = SCHEDULES.get("scheduled")()
    assert schedule.probabilities(0, 52_500, 10, 10).tolist() == [1.0] * 19
    np.testing.assert_allclose(schedule.probabilities(1, 52_500, 10, 10)[10:], 1 - 1 / 52_500)
    assert schedule.probabilities(52_500, 52_500, 5, 5).tolist() == [1.0] * 5 + [0.0] * 4


def test_reverse_schedule_of_twenty_epochs():
    due = {7: (0.610600, 0.475), 8: (0.816060, 0.400), 10: (0.958958, 0.250), 13: (0.995674, 0.025), 14: (1.0, 0.0)}
    schedule = SCHEDULES.get("reverse")()
    for epoch, (eta_given, eta_later) in due.items():
        found = schedule.probabilities(epoch, 20, 3, 3)
        np.testing.assert_allclose(found, [1.0, eta_given, eta_given, eta_later, eta_later], atol=1e-6)
    assert schedule.probabilities(6, 20, 3, 3).tolist() == [1.0, 0.5, 0.5, 0.5, 0.5]


@pytest.mark.parametrize("name", SCHEDULES.names())
def test_choices_depend_on_the_sample_and_not_on_the_rank(name):
    draw = lambda first, batch: SCHEDULES.get(name)().use_truth_TB(
        400, 1000, given=3, leads=4, first_sample=first, batch=batch, seed=1
    )
    np.testing.assert_array_equal(draw(0, 4), np.concatenate([draw(0, 2), draw(2, 2)], axis=1))
    assert draw(0, 4).shape == (6, 4)
    assert draw(0, 4)[0].all()


def test_a_resumed_sampler_goes_on_where_it_was():
    whole = list(StepSampler(7, total=30, seed=3))
    assert sorted(whole[:7]) == list(range(7))
    assert whole[:7] != whole[7:14]
    for start in (0, 5, 7, 20, 30):
        assert list(StepSampler(7, total=30, start=start, seed=3)) == whole[start:]


def test_processes_share_every_batch(monkeypatch):
    whole = list(StepSampler(7, total=24, seed=3))
    shares = []
    for rank in (0, 1):
        monkeypatch.setattr("training.loader.process_rank", lambda rank=rank: rank)
        shares.append(list(StepSampler(7, total=24, start=4, seed=3, batch=4, processes=2)))
    pairs = zip(*(np.reshape(share, (-1, 2)) for share in shares), strict=True)
    assert [int(i) for pair in pairs for half in pair for i in half] == whole[4:]
