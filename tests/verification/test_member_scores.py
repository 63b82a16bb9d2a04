"""Scores of members worked out by hand: ties, dry cells, ensembles of different sizes."""

import math

import numpy as np
import pytest

from verification.scores.crps_members import FairCRPS, MembersCRPS
from verification.scores.rank_histogram import MOST_MEMBERS, RankHistogram
from verification.scores.rate_mae import RateMAE
from verification.scores.spread_skill import SpreadSkill

NAN = np.nan


def members(*values):
    """One grid cell."""
    return np.array(values, float)[:, None, None]


def cell(value):
    return np.full((1, 1), value, float)


def test_crps_by_hand():
    totals = MembersCRPS().totals(members(1.0, 3.0), cell(2.0))
    # E|X - o| = 1; the two members are 2 apart: E|X - X'| = 1 with and 2 without a member's distance from itself
    assert MembersCRPS().value(totals) == pytest.approx(1 - 0.5)
    assert FairCRPS().value(totals) == pytest.approx(1 - 1.0)


def test_crps_of_equal_members_is_the_absolute_error():
    random = np.random.default_rng(0)
    forecast, observed = random.gamma(0.5, 2.0, (2, 8, 9))
    expected = RateMAE().value(RateMAE().totals(forecast, observed))
    totals = MembersCRPS().totals(np.stack([forecast] * 4), observed)
    assert MembersCRPS().value(totals) == pytest.approx(expected)
    assert FairCRPS().value(totals) == pytest.approx(expected)


def test_the_fair_score_does_not_depend_on_the_number_of_members():
    random = np.random.default_rng(1)
    observed = random.gamma(0.5, 2.0, (60, 60))
    few, many = random.gamma(0.5, 2.0, (3, 60, 60)), random.gamma(0.5, 2.0, (60, 60, 60))
    fair = [FairCRPS().value(FairCRPS().totals(one, observed)) for one in (few, many)]
    as_they_are = [MembersCRPS().value(MembersCRPS().totals(one, observed)) for one in (few, many)]
    assert fair[0] == pytest.approx(fair[1], rel=0.05)
    assert as_they_are[0] > 1.2 * as_they_are[1]


def test_spread_by_hand():
    totals = SpreadSkill().totals(members(1.0, 2.0, 3.0), cell(5.0))
    assert totals.spread == pytest.approx(math.sqrt(1.0 * 4 / 3))
    assert totals.error == pytest.approx(3.0)
    assert SpreadSkill().value(totals) == pytest.approx(math.sqrt(4 / 3) / 3)


def test_means_are_taken_before_roots():
    two = np.concatenate([members(1.0, 3.0), members(0.0, 0.0)], axis=2)
    totals = SpreadSkill().totals(two, np.array([[4.0, 1.0]]))
    assert SpreadSkill().value(totals) == pytest.approx(math.sqrt((2.0 * 3 / 2) / (4.0 + 1.0)))


def test_ranks_by_hand():
    field = np.concatenate([members(1.0, 2.0, 4.0)] * 3, axis=2)
    shares = RankHistogram().totals(field, np.array([[0.5, 3.0, 9.0]])).shares()
    assert [share for share, _ in shares] == pytest.approx([1 / 3, 0, 1 / 3, 1 / 3])
    assert [flat for _, flat in shares] == pytest.approx([1 / 4] * 4)
    value = RankHistogram().value(RankHistogram().totals(field, np.array([[0.5, 3.0, 9.0]])))
    assert value == pytest.approx(3 * (1 / 3 - 1 / 4) + 1 / 4)


def test_a_tie_counts_in_equal_parts():
    # dry (0.05 counts as dry), as two of three members: the observation may stand before, between and after them
    shares = RankHistogram().totals(members(0.0, 5.0, 0.02), cell(0.05)).shares()
    assert [share for share, _ in shares] == pytest.approx([1 / 3, 1 / 3, 1 / 3, 0])


def test_a_cell_that_is_dry_everywhere_has_no_rank():
    totals = RankHistogram().totals(members(0.0, 0.05), cell(0.09))
    assert totals.shares() == []
    assert math.isnan(RankHistogram().value(totals))


def test_a_reliable_ensemble_is_flat_and_a_narrow_one_is_not():
    random = np.random.default_rng(2)
    observed = random.gamma(0.5, 2.0, (100, 100)) * (random.random((100, 100)) < 0.4)
    reliable = random.gamma(0.5, 2.0, (9, 100, 100)) * (random.random((9, 100, 100)) < 0.4)
    narrow = 1.0 + 0.1 * reliable
    assert RankHistogram().value(RankHistogram().totals(reliable, observed)) < 0.06
    assert RankHistogram().value(RankHistogram().totals(narrow, observed)) > 1.0
    assert SpreadSkill().value(SpreadSkill().totals(reliable, observed)) == pytest.approx(1.0, abs=0.05)
    assert SpreadSkill().value(SpreadSkill().totals(narrow, observed)) < 0.3


def test_ensembles_of_different_sizes_add_up():
    few = RankHistogram().totals(members(1.0, 2.0), cell(0.5))
    more = RankHistogram().totals(members(1.0, 2.0, 3.0), cell(3.5))
    assert [flat for _, flat in (few + more).shares()] == pytest.approx([(1 / 3 + 1 / 4) / 2] * 3 + [1 / 8])


def test_a_cell_counts_where_every_member_is_known():
    forecast = np.array([[[1.0, NAN, 1.0]], [[2.0, 2.0, 2.0]]])
    totals = SpreadSkill().totals(forecast, np.array([[1.0, 1.0, NAN]]))
    assert totals.cells == 1


@pytest.mark.parametrize("score", [MembersCRPS(), SpreadSkill(), RankHistogram()])
def test_one_member_is_no_ensemble(score):
    with pytest.raises(ValueError, match="at least 2 members"):
        score.totals(np.zeros((1, 3, 3)), np.zeros((3, 3)))


def test_too_many_members_for_the_bins_are_refused():
    with pytest.raises(ValueError, match=f"at most {MOST_MEMBERS} members, got {MOST_MEMBERS + 1}"):
        RankHistogram().totals(np.zeros((MOST_MEMBERS + 1, 3, 3)), np.zeros((3, 3)))
