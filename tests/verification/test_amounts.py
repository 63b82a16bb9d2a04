"""Amounts of an hour are the sums of their rates; what is missing once is missing, what is unknown once is unknown."""

import numpy as np
import pytest

from verification.amounts import amount_leads, periods
from verification.counts import Counts
from verification.means import sums_by_lead
from verification.verify import sums_of

NAN = np.float32(np.nan)
LEADS = list(range(10, 130, 10))


def constant(mmh, cells=4):
    return np.full((len(LEADS), 1, cells), mmh, np.float32)


def test_the_leads_of_an_hour():
    assert periods(LEADS, 60) == {60: slice(0, 6), 120: slice(6, 12)}
    assert periods(LEADS, 120) == {120: slice(0, 12)}
    assert periods([30, 60, 90], 60) == {60: slice(0, 2)}


@pytest.mark.parametrize("leads", [[], [10, 30], [5, 30, 60], [10, 20, 30], [25, 50, 75]])
def test_leads_that_do_not_fill_an_hour_are_refused(leads):
    with pytest.raises(ValueError, match="expected"):
        periods(leads, 60)


def test_amounts_by_hand():
    observed = constant(3.0)
    observed[:6, 0, 1] = 6.0  # 6 mm in the first hour
    observed[7, 0, 2] = NAN
    model = constant(0.0)
    model[3, 0, :2] = 36.0  # ten minutes of it are 6 mm
    first, second = amount_leads({"a": model}, observed, LEADS)
    assert (first.lead_minutes, second.lead_minutes) == (60, 120)
    np.testing.assert_allclose(first.rates["a"], [[6, 6, 0, 0]])
    np.testing.assert_allclose(first.observed_HW, [[3.0, 6.0, 3.0, 3.0]])
    np.testing.assert_array_equal(second.masks["all"], [[True, True, False, True]])
    (whole,) = amount_leads({"a": model}, observed, LEADS, minutes=120)
    np.testing.assert_allclose(whole.observed_HW, [[6.0, 9.0, np.nan, 6.0]])
    rows = sums_of([first, second], [6.0], only=("counts",))
    counts = {row.lead_minutes: row.sums for row in rows}
    assert {row.period_minutes for row in rows} == {60}
    assert sums_by_lead(rows, "a", "counts", threshold_mmh=6.0, period_minutes=60) == counts
    assert sums_by_lead(rows, "a", "counts", threshold_mmh=6.0) == {}, "6 mm are not 6 mm/h"
    assert counts == {60: Counts(1, 0, 1, 2), 120: Counts(correct_negatives=3)}


def test_one_missing_rate_of_a_baseline_is_dry_and_does_not_erase_its_hour():
    baseline = constant(12.0)
    baseline[0], baseline[:, 0, 3] = NAN, NAN
    covered = np.array([[True, True, True, False]])
    first, _ = amount_leads({"b": baseline}, constant(12.0), LEADS, covered_HW=covered, filled=("b",))
    np.testing.assert_allclose(first.rates["b"][0, :3], 10.0)
    np.testing.assert_array_equal(first.masks["all"], covered)


def test_an_hour_is_known_where_all_of_it_is():
    known = np.ones((len(LEADS), 1, 4), bool)
    known[5, 0, 2] = False
    first, second = amount_leads({"a": constant(1.0)}, constant(1.0), LEADS, known_THW=known)
    np.testing.assert_array_equal(first.masks["known"], [[True, True, False, True]])
    assert second.masks["known"].all()


def test_members_are_summed_one_by_one():
    members = np.stack([constant(1.0), constant(3.0)])
    first, _ = amount_leads({"a": constant(2.0)}, constant(2.0), LEADS, members={"a": members})
    np.testing.assert_allclose(first.members["a"][:, 0, 0], [1.0, 3.0])
