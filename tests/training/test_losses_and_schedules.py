"""Loss values and sampling schedules worked out by hand."""

import numpy as np
import pytest
import torch

from tests.training.small_runs import DIGITS, SMALL
from training.config import resolve
from training.datasets import Sample
from training.trainer.build import build_datasets, build_module
from training.trainer.learning_rate import share_of_rate
from training.trainer.loader import Ahead, ShareSampler, StepSampler
from training.trainer.losses import LOSSES, weight_by_rate
from training.trainer.schedules import SCHEDULES


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
    assert LOSSES.get(name)(wrong, truth, weight_by_rate(rate, 1.0)) == 0


def test_rain_weighs_by_its_true_rate():
    rate = torch.tensor([0.0, 1.0, 3.0, 30.0, 200.0, float("nan")])
    assert weight_by_rate(rate, 0.0).tolist() == [1, 1, 1, 1, 1, 0]
    assert weight_by_rate(rate, 0.5).tolist() == [1, 1.5, 2.5, 16, 16, 0]


def test_the_balanced_loss_weighs_in_the_papers_steps():
    rate = torch.tensor([0.0, 0.4, 1.99, 2.0, 4.9, 5.0, 9.9, 10.0, 29.0, 30.0, 200.0, float("nan")])
    expected = [1, 1, 1, 2, 2, 5, 5, 10, 10, 30, 30, 0]
    loss = LOSSES.get("b-mae+b-mse")
    assert loss.weight(rate, 0.0).tolist() == expected
    truth = torch.zeros(1, 1, 1, 3, 4)
    off = torch.full_like(truth, 0.5)
    weight = loss.weight(rate, 0.0).reshape(truth.shape)
    assert LOSSES.get("b-mse")(off, truth, weight) == sum(expected) * 0.25
    assert LOSSES.get("b-mae")(off, truth, weight) == sum(expected) * 0.5
    assert loss(off, truth, weight) == sum(expected) * 0.75


def test_scheduled_sampling_falls_in_equal_steps():
    schedule = SCHEDULES.get("scheduled")()
    assert schedule.probabilities(0, 52_500, 10, 10).tolist() == [1.0] * 19
    np.testing.assert_allclose(schedule.probabilities(1, 52_500, 10, 10)[10:], 1 - 1 / 52_500)
    assert schedule.probabilities(52_500, 52_500, 5, 5).tolist() == [1.0] * 5 + [0.0] * 4


REVERSE_20 = {
    **dict.fromkeys(range(1, 7), (0.5, 0.5)),
    7: (0.610600, 0.475),
    8: (0.816060, 0.400),
    9: (0.913113, 0.325),
    10: (0.958958, 0.250),
    11: (0.980613, 0.175),
    12: (0.990842, 0.100),
    13: (0.995674, 0.025),
    **dict.fromkeys(range(14, 21), (1.0, 0.0)),
}
"""The paper's code for E = 20: epoch from 1, probability of the truth among given and among later frames."""


@pytest.mark.parametrize("steps_per_epoch", [2625, 1, 100])
def test_reverse_schedule_is_the_papers_at_every_step_of_twenty_epochs(steps_per_epoch):
    schedule = SCHEDULES.get("reverse")(20)
    for epoch, (eta_given, eta_later) in REVERSE_20.items():
        for step in {(epoch - 1) * steps_per_epoch, epoch * steps_per_epoch - 1}:
            found = schedule.probabilities(step, 20 * steps_per_epoch, 3, 3)
            np.testing.assert_allclose(found, [1.0, eta_given, eta_given, eta_later, eta_later], atol=1e-6)


def test_a_reverse_schedule_cut_short_still_has_all_its_parts():
    schedule = SCHEDULES.get("reverse")(16)
    found = [schedule.probabilities(step, 100, 2, 2)[1:] for step in range(100)]
    assert found[0].tolist() == [0.5, 0.5]
    assert found[-1].tolist() == [1.0, 0.0]
    assert len({tuple(one) for one in found}) == 1 + 5 + 1
    assert (np.diff([one[0] for one in found]) >= 0).all()


@pytest.mark.parametrize(
    ("name", "warmup", "expected"),
    [
        ("constant", 0, {0: 1.0, 50: 1.0, 99: 1.0}),
        ("constant", 10, {0: 0.1, 4: 0.5, 9: 1.0, 50: 1.0}),
        ("cosine", 0, {0: 1.0, 50: 0.505, 100: 0.01}),
        ("cosine", 50, {24: 0.5 * (0.01 + 0.99 * 0.864484), 50: 0.505}),
    ],
)
def test_learning_rates(name, warmup, expected):
    share = share_of_rate(name, 100, warmup)
    assert {step: pytest.approx(share(step), abs=1e-6) for step in expected} == expected


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
        monkeypatch.setattr("training.trainer.loader.process_rank", lambda rank=rank: rank)
        shares.append(list(StepSampler(7, total=24, start=4, seed=3, batch=4, processes=2)))
    pairs = zip(*(np.reshape(share, (-1, 2)) for share in shares), strict=True)
    assert [int(i) for pair in pairs for half in pair for i in half] == whole[4:]


def test_processes_share_the_validation_clips(monkeypatch):
    assert ShareSampler(1000, 5).indices == [0, 250, 500, 749, 999]
    assert ShareSampler(3, 64).indices == ShareSampler(3, 0).indices == [0, 1, 2]
    monkeypatch.setattr("training.trainer.loader.process_count", lambda: 2)
    shares = []
    for rank in (0, 1):
        monkeypatch.setattr("training.trainer.loader.process_rank", lambda rank=rank: rank)
        sampler = ShareSampler(9, 5)
        shares += list(sampler)
        assert len(list(sampler)) == len(sampler)
    assert sorted(shares) == [0, 2, 4, 6, 8]


def test_batches_made_ahead_are_the_same_and_an_error_in_them_comes_out():
    batches = [torch.full((2,), k) for k in range(5)]
    assert list(Ahead(batches)) == batches  # type: ignore[arg-type]
    assert len(Ahead(batches)) == 5  # type: ignore[arg-type]

    def broken():
        yield batches[0]
        raise OSError("the disk is gone")

    with pytest.raises(OSError, match="the disk is gone"):
        list(Ahead(broken()))


@pytest.mark.parametrize("model", ["convlstm", "predrnn-v2"])
def test_a_cell_s_own_loss_is_a_part_of_the_validation_loss(model):
    torch.manual_seed(0)
    config = resolve("moving_mnist", file=None, sets=[*DIGITS, *SMALL], model=model)
    training, validation = build_datasets(config)
    module = build_module(config, training, total_steps=4).eval()
    past_BTCHW, future_BTCHW = (part[None] for part in validation[0])
    predicted_BTCHW, own_loss = module.model.predict_with_loss(past_BTCHW, 2)
    assert predicted_BTCHW.shape[1] == 4
    expected = module.loss(predicted_BTCHW[:, -2:], future_BTCHW, torch.ones_like(future_BTCHW)).item()
    assert (own_loss is not None) == (model == "predrnn-v2")
    if own_loss is not None:
        assert own_loss.item() > 1e-3
        expected += own_loss.item()
    module.on_validation_epoch_start()
    with torch.inference_mode():
        forecast_BTCHW = module.validation_step(Sample(past_BTCHW, future_BTCHW))
    torch.testing.assert_close(forecast_BTCHW, predicted_BTCHW[:, -2:].clamp(0, 1))
    assert module.summed_loss.tolist() == pytest.approx([expected, 1.0])
