"""What holds for every registered score."""

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scores.categorical import ThresholdEventOperator
from xarray import DataArray

from verification.counts import Counts
from verification.scores import SCORES

NAMES = SCORES.names()
LIBRARY = {
    "csi": "critical_success_index",
    "hss": "heidke_skill_score",
    "pod": "probability_of_detection",
    "far": "false_alarm_ratio",
    "bias": "frequency_bias",
}
COUNTS = st.builds(Counts, *[st.integers(0, 10**9)] * 4)


@pytest.fixture(params=NAMES)
def score(request):
    return SCORES.get(request.param)()


def fields(seed):
    forecast, observed = np.random.default_rng(seed).gamma(0.5, 2.0, (2, 30, 20)).astype(np.float32)
    forecast[0], observed[:, 0] = np.nan, np.nan
    return forecast, observed


def test_there_are_five_scores():
    assert set(NAMES) >= set(LIBRARY)


def test_score_of_chunks_is_the_score_of_the_whole(score):
    forecast, observed = fields(1)
    chunks = [score.totals(forecast[rows], observed[rows]) for rows in (slice(0, 7), slice(7, 8), slice(8, None))]
    assert score.value(sum(chunks, Counts())) == score.value(score.totals(forecast, observed))


def test_unobserved_cells_do_not_count(score):
    forecast, observed = fields(2)
    seen = np.isfinite(forecast) & np.isfinite(observed)
    assert score.totals(forecast, observed) == score.totals(forecast[seen], observed[seen])


def test_a_perfect_forecast_scores_best(score):
    _, observed = fields(3)
    assert score.value(score.totals(observed, observed)) == pytest.approx(score.best)


def test_undefined_is_none_and_never_the_best(score):
    name = next(name for name, kind in SCORES.items() if kind is type(score))
    for nothing in (Counts(), Counts(correct_negatives=49)):
        assert math.isnan(score.value(nothing))
        assert nothing.value(name) is None


@pytest.mark.parametrize("name", sorted(LIBRARY))
def test_value_is_the_library_s_own(name):
    forecast, observed = fields(4)
    dims = ("y", "x")
    match = ThresholdEventOperator(default_event_threshold=1.0)
    table = match.make_contingency_manager(DataArray(forecast, dims=dims), DataArray(observed, dims=dims)).transform()
    score = SCORES.get(name)()
    assert score.value(score.totals(forecast, observed)) == pytest.approx(float(getattr(table, LIBRARY[name])()))


@given(COUNTS)
def test_heidke_by_its_integer_formula(counts):
    a, c, b, d = counts.hits, counts.misses, counts.false_alarms, counts.correct_negatives
    below = (a + c) * (c + d) + (a + b) * (b + d)
    value = counts.value("hss")
    assert (value is None) == (below == 0)
    if value is not None:
        assert value == pytest.approx(2 * (a * d - b * c) / below, rel=1e-6, abs=1e-6)
