"""Counts add up exactly, and the table compares every model over the same cells."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from core.errors import UnknownNameError
from verification.counts import Counts, contingencies, contingency
from verification.lead import Exceedance
from verification.scores import value_of, values_of, values_of_counts
from verification.scores.fss import FSS
from verification.scores.reliability import ReliabilityBins
from verification.sums import Sums
from verification.table import SumRow, pooled
from verification.verify import compared_leads, score_table, sums_of

NAN = np.nan
FORECAST = np.array([[0.0, 0.5, 2.0, NAN], [1.0, 0.4, 9.0, 3.0]], np.float32)
OBSERVED = np.array([[0.0, 0.6, 0.1, 5.0], [1.0, 0.7, NAN, 3.0]], np.float32)

RATES = arrays(
    np.float32, (4, 6), elements=st.one_of(st.just(float("nan")), st.floats(0, 64, width=32, allow_subnormal=False))
)


def test_counts_by_hand():
    assert contingency(FORECAST, OBSERVED, 0.5) == Counts(hits=3, misses=1, false_alarms=1, correct_negatives=1)


def test_an_event_begins_at_the_threshold_itself():
    at = np.array([1.0], np.float32)
    assert contingency(at, at, 1.0) == Counts(hits=1)


def test_values_by_hand():
    counts = Counts(hits=3, misses=1, false_alarms=1, correct_negatives=1)
    assert counts.total == 6
    assert value_of("csi", counts) == pytest.approx(3 / 5)
    assert value_of("pod", counts) == pytest.approx(3 / 4)
    assert value_of("far", counts) == pytest.approx(1 / 4)
    assert value_of("bias", counts) == pytest.approx(1.0)
    # Heidke: expected correct by chance = (4*4 + 2*2) / 6 = 10/3; (4 - 10/3) / (6 - 10/3)
    assert value_of("hss", counts) == pytest.approx(0.25)


def test_unknown_score_names_the_near_ones():
    with pytest.raises(UnknownNameError, match="csi"):
        value_of("csii", Counts(1, 1, 1, 1))


@given(RATES, RATES, st.sampled_from([0.1, 0.5, 1.0, 30.0]), st.integers(0, 4), st.integers(0, 6))
def test_counts_of_chunks_are_the_counts_of_the_whole(forecast, observed, threshold, row, col):
    parts = [(slice(0, row), slice(None)), (slice(row, None), slice(0, col)), (slice(row, None), slice(col, None))]
    summed = sum((contingency(forecast[part], observed[part], threshold) for part in parts), Counts())
    assert summed == contingency(forecast, observed, threshold)
    assert summed.total == int((np.isfinite(forecast) & np.isfinite(observed)).sum())


def test_sums_do_not_overflow():
    many = Counts(*([2**62] * 4)) + Counts(*([2**62] * 4)) + Counts(*([2**62] * 4))
    assert many.hits == 3 * 2**62
    assert many.total == 12 * 2**62
    assert value_of("csi", many) == pytest.approx(1 / 3)
    assert value_of("hss", many) == pytest.approx(0.0)


def test_counts_are_plain_integers():
    assert {type(value) for value in vars(contingency(FORECAST, OBSERVED, 0.5)).values()} == {int}


def test_shapes_must_agree():
    with pytest.raises(ValueError, match=r"\(2, 4\) against observations of \(4,\)"):
        contingency(FORECAST, OBSERVED[0], 1.0)


def test_table_compares_all_models_over_common_cells():
    observed = np.array([[[1.0, 1.0, 0.0, NAN]], [[NAN, NAN, NAN, NAN]]], np.float32)
    model = np.array([[[1.0, NAN, 1.0, 1.0]], [[1.0, 1.0, 1.0, 1.0]]], np.float32)
    other = np.array([[[0.0, 1.0, 0.0, 1.0]], [[0.0, 0.0, 0.0, 0.0]]], np.float32)
    assert score_table({"a": model, "b": other}, observed, [30, 60], [0.5]) == [
        SumRow("a", 30, "counts", Counts(hits=1, false_alarms=1), 0.5),
        SumRow("b", 30, "counts", Counts(misses=1, correct_negatives=1), 0.5),
        SumRow("a", 60, "counts", Counts(), 0.5),
        SumRow("b", 60, "counts", Counts(), 0.5),
    ]


@given(st.lists(RATES, min_size=3, max_size=3), RATES)
def test_hits_and_misses_agree_between_models(rates, observed):
    rows = score_table({str(i): rate[None] for i, rate in enumerate(rates)}, observed[None], [30], [0.1, 1.0, 10.0])
    for threshold in (0.1, 1.0, 10.0):
        some = [row.sums for row in rows if row.threshold_mmh == threshold]
        assert len({counts.hits + counts.misses for counts in some}) == 1
        assert len({counts.total for counts in some}) == 1


def test_table_refuses_other_leads():
    field = np.zeros((2, 3, 3), np.float32)
    with pytest.raises(ValueError, match="3 leads"):
        score_table({"a": field}, field, [30, 60, 90])


def test_pooled_sums_equal_keys():
    one, two = SumRow("a", 30, "counts", Counts(1, 2, 3, 4), 0.5), SumRow("a", 60, "counts", Counts(1, 1, 1, 1), 0.5)
    assert pooled([one, two, one]) == [SumRow("a", 30, "counts", Counts(2, 4, 6, 8), 0.5), two]


@given(st.lists(RATES, min_size=2, max_size=2), st.permutations([0.1, 1.0, 10.0]))
def test_counts_of_one_pass_are_those_of_each_threshold_and_mask(rates, thresholds):
    both = np.isfinite(rates[0]) & np.isfinite(rates[1])
    forecast_N, observed_N = (rate[both] for rate in rates)
    masks = {"all": np.ones(len(observed_N), bool), "known": forecast_N < 20}
    found = contingencies({"a": forecast_N}, observed_N, thresholds, masks)
    assert len(found) == 2 * len(thresholds)
    for (_, mask, threshold), counts in found.items():
        assert counts == contingency(forecast_N[masks[mask]], observed_N[masks[mask]], threshold)


def test_missing_values_of_a_baseline_are_dry_within_the_newest_scan_s_coverage():
    observed = np.array([[[1.0, 1.0, 1.0, NAN]]], np.float32)
    model = np.array([[[1.0, 1.0, NAN, 1.0]]], np.float32)
    baseline = np.array([[[1.0, NAN, NAN, 1.0]]], np.float32)
    covered = np.array([[True, True, False, True]])
    known = np.array([[[True, False, False, True]]])
    fields = {"model": model, "extrapolation": baseline}
    leads = compared_leads(
        fields, observed, [30], covered_HW=covered, filled=("extrapolation",), known_THW=known, pixel_m=1000.0
    )
    found = {(row.model, row.mask): row.sums for row in sums_of(leads, [0.5], only=("counts",))}
    assert found == {
        ("model", "all"): Counts(hits=2),
        ("extrapolation", "all"): Counts(hits=1, misses=1),
        ("model", "known"): Counts(hits=1),
        ("extrapolation", "known"): Counts(hits=1),
    }


@pytest.mark.parametrize(
    "sums", [Counts(1, 2, 3, 4), ReliabilityBins((0, 5, *[0] * 8), (0, 1, *[0] * 8), (0, 7, *[0] * 8))]
)
def test_sums_come_back_from_rows_and_from_a_flat_list(sums: Sums):
    assert type(sums).from_rows(list(sums.rows())) == sums
    assert type(sums).from_flat(sums.flat()) == sums
    assert sums + type(sums)() == sums


def test_an_evaluation_scores_both_masks_and_the_service_those_it_stores():
    random = np.random.default_rng(4)
    observed, model = random.gamma(0.5, 2.0, (2, 2, 20, 22)).astype(np.float32)
    known = random.random(observed.shape) < 0.7
    chance = [Exceedance((1.0,), np.exp(-field)[None]) for field in model]
    leads = list(compared_leads({"a": model}, observed, [5, 10], known_THW=known, exceedance={"a": chance}))
    stored, every = sums_of(leads, [1.0], [5.0]), sums_of(leads, [1.0], [5.0], purpose="evaluation")
    assert {row.family for row in stored if row.mask == "known"} == {"counts", "brier", "reliability"}
    assert {row.family for row in every if row.mask == "known"} == {row.family for row in every}
    fss = {row.mask: row.sums for row in every if row.family == "fss" and row.lead_minutes == 10}
    for mask, mask_HW in leads[1].masks.items():
        alone = np.where(mask_HW, observed[1], np.float32(NAN))
        assert fss[mask] == FSS(1.0, 5).totals(model[1], alone)
    assert fss["all"] != fss["known"]


def test_a_forecast_outside_of_the_mask_does_not_count_in_any_score():
    """The sums of `known` stay as they are when only cells of unknown origin change."""
    random = np.random.default_rng(5)
    observed, model = random.gamma(0.5, 2.0, (2, 1, 20, 22)).astype(np.float32)
    known = random.random(observed.shape) < 0.7
    other = np.where(known, model, np.float32(77.0))

    def sums(field, mask):
        chance = {"a": [Exceedance((1.0,), np.exp(-field))]}
        members = {"a": np.stack([field, field * 0.5, field * 2.0])}
        leads = compared_leads({"a": field}, observed, [5], known_THW=known, exceedance=chance, members=members)
        return [row for row in sums_of(leads, [1.0], [5.0], purpose="evaluation") if row.mask == mask]

    assert sums(model, "known") == sums(other, "known")
    assert len(sums(model, "known")) == len(sums(model, "all")) > 5
    for before, after in zip(sums(model, "all"), sums(other, "all"), strict=True):
        assert before != after, before.family


def test_each_lead_has_its_own_fields_and_mask():
    """Rates, observation, probabilities, members and both masks of one lead, in the order of the leads."""
    ones = np.ones((1, 3), np.float32)
    numbers = np.arange(1, 4, dtype=np.float32)[:, None, None] * ones  # 1, 2, 3 mm/h
    known = np.array([[[True, True, True]], [[True, True, False]], [[True, False, False]]])
    observed = numbers * 10
    observed[2, 0, 0] = NAN
    leads = [*compared_leads(
        {"a": numbers}, observed, [5, 10, 15], known_THW=known,
        exceedance={"a": [Exceedance((1.0,), 0.1 * number[None]) for number in numbers]},
        members={"a": np.stack([numbers, 2 * numbers])},
    )]  # fmt: skip
    for number, lead in enumerate(leads, start=1):
        assert lead.lead_minutes == 5 * number
        np.testing.assert_array_equal(lead.rates["a"], number * ones)
        np.testing.assert_allclose(lead.exceedance["a"].probability_KHW, 0.1 * number * ones[None])
        np.testing.assert_array_equal(lead.members["a"], np.stack([number * ones, 2 * number * ones]))
        assert np.nanmax(lead.observed_HW) == 10 * number
    assert [lead.masks["all"].tolist() for lead in leads] == [[[True] * 3], [[True] * 3], [[False, True, True]]]
    assert [int(lead.masks["known"].sum()) for lead in leads] == [3, 2, 0]


def test_a_cell_that_the_newest_scan_does_not_cover_never_counts():
    field = np.ones((1, 1, 3), np.float32)
    covered = np.array([[True, False, True]])
    (lead,) = compared_leads({"a": field}, field, [5], covered_HW=covered, known_THW=np.ones((1, 1, 3), bool))
    assert all(np.array_equal(mask_HW, covered) for mask_HW in lead.masks.values())


def test_a_missing_value_of_a_forecaster_leaves_the_cell_out_for_all_and_a_baseline_s_does_not():
    field = np.ones((1, 1, 3), np.float32)
    model, baseline = field.copy(), field.copy()
    model[0, 0, 1], baseline[0, 0, 2] = NAN, NAN
    covered = np.ones((1, 3), bool)
    (lead,) = compared_leads({"a": model, "b": baseline}, field, [5], covered_HW=covered, filled=("b",))
    np.testing.assert_array_equal(lead.masks["all"], [[True, False, True]])
    np.testing.assert_array_equal(lead.rates["b"], [[1.0, 1.0, 0.0]])


def test_an_event_begins_at_the_threshold_in_one_pass_too():
    at = np.array([1.0, 2.0], np.float32)
    found = contingencies({"a": at}, at, [1.0, 2.0], {"all": np.ones(2, bool)})
    assert found["a", "all", 1.0] == Counts(hits=2)
    assert found["a", "all", 2.0] == Counts(hits=1, correct_negatives=1)


def test_scores_of_many_tables_are_those_of_each():
    random = np.random.default_rng(7)
    tables = [Counts(*map(int, random.integers(0, 900, 4))) for _ in range(20)]
    tables += [Counts(), Counts(0, 0, 0, 9), Counts(9, 0, 0, 0), Counts(0, 4, 0, 5), Counts(0, 0, 4, 5)]
    assert values_of_counts(tables, "counts") == [values_of(one, "counts") for one in tables]
    assert values_of_counts([], "counts") == []
    with pytest.raises(ValueError, match="other totals"):
        values_of_counts(tables, "fss")
