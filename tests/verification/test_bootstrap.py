"""Intervals by bootstrap over spells, against a plain loop; both means; what may be claimed."""

import math
import time
from functools import reduce
from operator import add

import numpy as np
import pytest

from tests.speed import python_s
from verification.bootstrap import LEAST_OBSERVED_CELLS, RESAMPLES, Interval, interval, paired_interval, verdict
from verification.counts import Counts
from verification.means import MEANS, LeadMean, PooledValue, statistic, sums_by_lead
from verification.scores import SCORES
from verification.scores.csi import CSI
from verification.scores.rate_mae import RateMAE
from verification.scores.reliability import Reliability
from verification.sums import MeanSums
from verification.table import SumRow

A = Counts(hits=30, misses=10, false_alarms=10, correct_negatives=50)  # CSI 0.6
B = Counts(hits=1, misses=2, false_alarms=1, correct_negatives=6)  # CSI 0.25


def weather(seed=0, spells=14, leads=30, scale=1000):
    """Counts of some spells: rare and frequent ones, worse with the lead."""
    random = np.random.default_rng(seed)
    return {
        f"spell-{spell}": [
            Counts(*(int(n) for n in random.integers(1, scale * random.integers(1, 20), 4))) for _ in range(leads)
        ]
        for spell in range(spells)
    }


def test_the_two_means_by_hand():
    assert PooledValue(CSI()).of([A, B]) == pytest.approx(31 / 54)
    assert LeadMean(CSI()).of([A, B]) == pytest.approx((0.6 + 0.25) / 2)


def test_a_mean_over_leads_is_undefined_as_soon_as_one_lead_is():
    assert math.isnan(LeadMean(CSI()).of([A, Counts(correct_negatives=9)]))
    assert PooledValue(CSI()).of([A, Counts(correct_negatives=9)]) == pytest.approx(0.6)
    assert math.isnan(LeadMean(CSI()).of([]))
    assert math.isnan(PooledValue(CSI()).of([]))


@pytest.mark.parametrize("mean", MEANS)
@pytest.mark.parametrize("name", [name for name, kind in SCORES.items() if kind.evaluated])
def test_values_of_many_sums_are_those_of_each(mean, name):
    score = SCORES.get(name)()
    random = np.random.default_rng(1)
    numbers = len(score.sums().flat())
    sums = [[score.sums.from_flat(random.integers(0, 9, numbers).tolist()) for _ in range(3)] for _ in range(20)]
    sums[0] = [score.sums()] * 3
    if score.sums.bins:  # some bins are empty
        sums[1] = [
            score.sums.from_flat([number * (place % 3 == 0) for place, number in enumerate(one.flat())])
            for one in sums[1]
        ]
    table = np.array([[one.flat() for one in leads] for leads in sums], float)
    found = statistic(mean, score).of_table(table)
    np.testing.assert_allclose(found, [statistic(mean, score).of(leads) for leads in sums], rtol=1e-12)
    assert math.isnan(found[0])


@pytest.mark.parametrize("mean", MEANS)
def test_the_interval_is_that_of_a_plain_loop_over_spells(mean):
    """The draws differ, so that the two agree as far as 1000 resamples decide."""
    spells, of = weather(leads=3), statistic(mean, CSI())
    random, names = np.random.default_rng(5), list(weather(leads=3))
    values = []
    for _ in range(4000):
        drawn = [spells[names[number]] for number in random.integers(0, len(names), len(names))]
        values.append(of.of([reduce(add, lead) for lead in zip(*drawn, strict=True)]))
    found = interval(spells, of)
    low, high = np.quantile(values, (0.05, 0.95))
    assert found is not None
    assert found.low == pytest.approx(low, abs=0.06 * (high - low))
    assert found.high == pytest.approx(high, abs=0.06 * (high - low))
    assert found.low < of.of([reduce(add, lead) for lead in zip(*spells.values(), strict=True)]) < found.high


def test_equal_spells_have_an_interval_without_width():
    found = interval({name: [A, A] for name in "abc"}, PooledValue(CSI()))
    assert found is not None
    assert (found.low, found.high) == pytest.approx((0.6, 0.6))


@pytest.mark.parametrize("spells", [0, 1, 2])
def test_fewer_than_three_spells_have_no_interval(spells):
    sums = {str(number): [A] for number in range(spells)}
    assert interval(sums, PooledValue(CSI())) is None
    assert paired_interval(sums, sums, PooledValue(CSI())) is None


def test_a_score_that_is_undefined_too_often_has_no_interval():
    nothing = Counts(correct_negatives=9)
    one_of_five = {"a": [A]} | {name: [nothing] for name in "bcde"}  # undefined in (4/5)^5 = 33 % of the resamples
    assert interval(one_of_five, PooledValue(CSI())) is None


def test_a_pair_is_compared_on_the_same_draws():
    """Each spell is 0.01 worse in b than in a: the spells differ by far more, and yet the two are distinguished."""
    a = {str(n): [MeanSums(round((n + 0.01) * 1e9), 1)] for n in range(10)}
    b = {name: [MeanSums(sums[0].total_nano - 10_000_000, 1)] for name, sums in a.items()}
    found = paired_interval(a, dict(reversed(b.items())), PooledValue(RateMAE()))
    assert found is not None
    assert (found.low, found.high) == pytest.approx((0.01, 0.01))
    assert found.differs
    alone = interval(a, PooledValue(RateMAE()))
    assert alone is not None
    assert alone.high - alone.low > 1.0


def test_a_relative_difference_is_the_gain():
    a = {name: [Counts(hits=6, misses=4)] for name in "abc"}
    b = {name: [Counts(hits=5, misses=5)] for name in "abc"}
    found = paired_interval(a, b, PooledValue(CSI()), relative=True)
    assert found is not None
    assert (found.low, found.high) == pytest.approx((0.2, 0.2))


def test_models_of_other_spells_and_spells_of_other_leads_are_refused():
    a = {name: [A] for name in "abc"}
    with pytest.raises(ValueError, match="expected the spells"):
        paired_interval(a, {name: [A] for name in "abd"}, PooledValue(CSI()))
    with pytest.raises(ValueError, match="the same leads of every spell"):
        interval(a | {"c": [A, A]}, PooledValue(CSI()))


@pytest.mark.parametrize(
    ("low", "high", "best", "events", "expected"),
    [
        (0.1, 0.2, 1.0, LEAST_OBSERVED_CELLS, "better"),
        (0.1, 0.2, 0.0, LEAST_OBSERVED_CELLS, "worse"),
        (-0.2, -0.1, 1.0, 10**6, "worse"),
        (-0.2, -0.1, 0.0, 10**6, "better"),
        (-0.1, 0.2, 1.0, 10**6, "cannot be distinguished"),
        (0.0, 0.2, 1.0, 10**6, "cannot be distinguished"),
        (0.1, 0.2, 1.0, LEAST_OBSERVED_CELLS - 1, "too few observed cells"),
    ],
)
def test_what_may_be_claimed(low, high, best, events, expected):
    assert verdict(Interval(low, high), best, events) == expected


def test_nothing_is_claimed_without_an_interval():
    assert verdict(None, 1.0, 10**6) == "too few spells"


def test_sums_of_days_of_a_country_do_not_overflow():
    """Hundreds of 1-km fields of 1e6 cells pass 64 bits in products of counts."""
    many = {name: [Counts(10**12, 10**12, 10**12, 10**13)] for name in "abc"}
    found = interval(many, PooledValue(SCORES.get("hss")()))
    assert found is not None
    # 2 (ad - bc) / ((a + c)(c + d) + (a + b)(b + d)) with 1, 1, 1, 10
    assert found.low == pytest.approx(2 * 9 / 44)


@pytest.mark.parametrize("mean", MEANS)
@pytest.mark.parametrize("score", [CSI(), SCORES.get("hss")(), Reliability()])
def test_a_thousand_resamples_of_fourteen_spells_and_thirty_leads_are_quick(mean, score):
    numbers = len(score.sums().flat())
    random = np.random.default_rng(2)
    spells = {
        str(spell): [score.sums.from_flat(random.integers(1, 99, numbers).tolist()) for _ in range(30)]
        for spell in range(14)
    }
    began = time.thread_time()
    assert interval(spells, statistic(mean, score)) is not None
    assert RESAMPLES == 1000
    assert time.thread_time() - began < 50 * python_s(), "1 s where the steps take 0.02"


def test_sums_by_lead_of_one_model_mask_and_threshold():
    rows = [SumRow(m, lead, "counts", A, mmh, None, k) for m in "ab" for lead in (60, 30) for mmh in (1.0, 2.0)
            for k in ("all", "known")]  # fmt: skip
    rows.append(SumRow("a", 60, "counts", B, 2.0, None, "known"))
    found = sums_by_lead(rows, "a", "counts", threshold_mmh=2.0, mask="known")
    assert found == {30: A, 60: A + B}
    assert list(found) == [30, 60]
