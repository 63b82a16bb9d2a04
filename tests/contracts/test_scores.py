"""The contract of every registered score."""

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scores.categorical import ThresholdEventOperator
from xarray import DataArray

from verification.counts import Counts
from verification.scores import SCORES, CategoricalScore, value_of
from verification.sums import MOST_COLUMNS

NAMES = SCORES.names()
LIBRARY = {
    "csi": "critical_success_index",
    "hss": "heidke_skill_score",
    "pod": "probability_of_detection",
    "far": "false_alarm_ratio",
    "bias": "frequency_bias",
    "ets": "equitable_threat_score",
}
NEW = {"rate-mae", "brier", "reliability", "crps", "near-csi", "near-brier", "roc-area", "power-spectrum"}
OF_MEMBERS = {"crps-members", "crps-fair", "spread-skill", "rank-histogram", "near-brier-members"}
OF_SPREAD = {"spread-skill", "rank-histogram"}
"""Scores whose best forecast is not certain: its members differ as much as the observation does."""
COUNTS = st.builds(Counts, *[st.integers(0, 10**9)] * 4)
CHUNKS = (slice(0, 2), slice(2, 3), slice(3, None))


@pytest.fixture(params=NAMES)
def score(request):
    return SCORES.get(request.param)()


def fields(score, seed):
    """Seven frames: rain with what was not observed on either side, pictures, or probabilities against rain."""
    random = np.random.default_rng(seed)
    if score.takes == "pictures":
        return random.random((2, 7, 14, 12)).astype(np.float32)
    forecast, observed = random.gamma(0.5, 2.0, (2, 7, 30, 20)).astype(np.float32)
    forecast[2], observed[5] = 0.0, 0.0  # one dry frame on either side
    forecast[:, 0], observed[:, :, 0], observed[4] = np.nan, np.nan, np.nan
    if score.takes == "probabilities":
        chance = np.exp(-forecast)
        return (chance_of_rates(score, chance) if score_of_rates(score) else chance), observed
    if score.takes == "members":
        return forecast[:, None] * random.gamma(4.0, 0.5, (7, 5, 1, 1)).astype(np.float32), observed
    return forecast, observed


def has_spread(score):
    return any(isinstance(score, SCORES.get(name)) for name in OF_SPREAD)


def score_of_rates(score):
    return hasattr(score, "thresholds_mmh")


def chance_of_rates(score, chance):
    """Falling with the rate, on the axis before rows and columns."""
    return np.stack([chance ** (1 + mmh) for mmh in score.thresholds_mmh], axis=-3)


def perfect(score, observed):
    """The forecast that knew; for scores of spread, one that knew how little can be known."""
    if score.takes == "members":
        if not has_spread(score):
            return np.repeat(observed[:, None], 5, axis=1)
        members = np.random.default_rng(9).gamma(0.5, 2.0, (39, *observed.shape))  # as `fields` draws the observation
        members[:, 5] = 0.0
        return np.moveaxis(members, 0, 1)
    if score_of_rates(score):
        return np.stack([(observed >= mmh).astype(float) for mmh in score.thresholds_mmh], axis=-3)
    return (observed >= score.threshold_mmh).astype(float) if score.takes == "probabilities" else observed


def test_the_scores_of_the_paper_and_of_forecasters_are_there():
    assert set(NAMES) >= {*LIBRARY, "mse", "mae", "ssim", "psnr", "gdl", "b-mse", "b-mae", "fss", *NEW, *OF_MEMBERS}


def test_sums_are_whole_numbers_in_at_most_four_columns(score):
    assert 1 <= len(score.sums.columns()) <= MOST_COLUMNS
    forecast, observed = fields(score, 8)
    totals = score.totals(forecast, observed)
    assert type(totals) is score.sums
    assert {type(number) for number in totals.flat()} == {int}
    assert score.sums.from_rows(list(totals.rows())) == totals


def test_score_of_chunks_is_the_score_of_the_whole(score):
    forecast, observed = fields(score, 1)
    first, second, third = (score.totals(forecast[frames], observed[frames]) for frames in CHUNKS)
    whole = score.value(score.totals(forecast, observed))
    assert math.isfinite(whole)
    assert score.value(first + second + third) == pytest.approx(whole, rel=1e-12)
    assert third + first + second == score.totals(forecast, observed)


def test_leading_axes_count_frames(score):
    forecast, observed = fields(score, 2)
    folded = [field[:6].reshape(2, 3, *field.shape[1:]) for field in (forecast, observed)]
    assert score.value(score.totals(*folded)) == pytest.approx(score.value(score.totals(forecast[:6], observed[:6])))


def test_what_one_side_did_not_observe_does_not_count(score):
    forecast, observed = fields(score, 3)
    if score.takes == "pictures":
        observed[0, 0, 0] = np.nan
        with pytest.raises(ValueError, match="a picture with NaN"):
            score.totals(forecast, observed)
        return
    other = forecast.copy()
    more_axes = score_of_rates(score) or score.takes == "members"
    unseen = np.broadcast_to(np.isnan(observed)[:, None] if more_axes else np.isnan(observed), other.shape)
    other[unseen] = 0.9 if score.takes == "probabilities" else 99.0
    assert score.totals(other, observed) == score.totals(forecast, observed)
    assert score.value(score.totals(np.zeros_like(forecast), observed)) != score.value(score.totals(forecast, observed))


def test_a_perfect_forecast_scores_best_and_another_does_not(score):
    forecast, observed = fields(score, 4)
    sampled = score_of_rates(score) or has_spread(score)  # rates between two thresholds, or a random sample
    near = 0.2 if sampled else 1e-6
    assert score.value(score.totals(perfect(score, observed), observed)) == pytest.approx(score.best, abs=near)
    assert abs(score.value(score.totals(forecast, observed)) - score.best) > 1e-3


def test_without_data_a_score_is_undefined_and_never_the_best(score):
    forecast, observed = fields(score, 5)
    assert math.isnan(score.value(score.totals(forecast[:0], observed[:0])))
    if score.takes != "pictures":
        unobserved = np.full_like(observed, np.nan)
        assert math.isnan(score.value(score.totals(forecast, unobserved)))


def test_an_event_begins_at_the_threshold_itself(score):
    """With one cell at the threshold, a perfect forecast has the best value, and not an undefined one."""
    if not score.has("threshold_mmh"):
        return
    observed = np.zeros((1, 30, 40))
    observed[0, 3, 4] = score.threshold_mmh
    assert score.value(score.totals(perfect(score, observed), observed)) == pytest.approx(score.best)
    if score.takes == "probabilities":
        certain = np.zeros_like(observed)
        certain[0, 3, 4] = 1.0
        assert score.value(score.totals(certain, observed)) == pytest.approx(score.best)


def test_shapes_must_agree(score):
    forecast, observed = fields(score, 6)
    with pytest.raises(ValueError, match=r"forecast of .* against observations of"):
        score.totals(forecast[..., :-1, :] if score.takes == "members" else forecast[:, :-1], observed)


@pytest.mark.parametrize("name", sorted(LIBRARY))
def test_no_event_at_all_is_none(name):
    assert isinstance(SCORES.get(name)(), CategoricalScore)
    for nothing in (Counts(), Counts(correct_negatives=49)):
        assert value_of(name, nothing) is None


@pytest.mark.parametrize("name", sorted(LIBRARY))
def test_value_is_the_library_s_own(name):
    score = SCORES.get(name)()
    forecast, observed = fields(score, 7)
    dims = ("time", "y", "x")
    match = ThresholdEventOperator(default_event_threshold=1.0)
    table = match.make_contingency_manager(DataArray(forecast, dims=dims), DataArray(observed, dims=dims)).transform()
    assert score.value(score.totals(forecast, observed)) == pytest.approx(float(getattr(table, LIBRARY[name])()))


@given(COUNTS)
def test_heidke_by_its_integer_formula(counts):
    a, c, b, d = counts.hits, counts.misses, counts.false_alarms, counts.correct_negatives
    below = (a + c) * (c + d) + (a + b) * (b + d)
    value = value_of("hss", counts)
    assert (value is None) == (below == 0)
    if value is not None:
        assert value == pytest.approx(2 * (a * d - b * c) / below, rel=1e-6, abs=1e-6)


def test_counts_have_no_value_of_a_score_of_frames():
    with pytest.raises(ValueError, match="other totals than Counts"):
        value_of("mse", Counts(1, 1, 1, 1))
