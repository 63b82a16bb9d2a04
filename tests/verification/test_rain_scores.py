"""Scores of rain against numbers worked out by hand, by loops and by the libraries that have them."""

import numpy as np
import pytest
import torch
from scores.spatial import fss_2d_single_field

from models.transforms import ReflectivityTransform
from verification.balanced import balance_weight, pixel_values
from verification.counts import contingency
from verification.scores.b_mae import BMAE
from verification.scores.b_mse import BMSE
from verification.scores.fss import FSS, window_sums

NAN = np.nan


def test_pixel_values_are_the_paper_s():
    rates = np.array([0.5, 2, 5, 10, 30, 0, NAN])
    expected = [0.4258253388, 0.5479575084, 0.6286824816, 0.6897485665, 0.7865360210, 0, NAN]
    np.testing.assert_allclose(pixel_values(rates), expected, atol=1e-9)
    np.testing.assert_allclose(pixel_values(np.array([1e6])), 1.0)
    by_model = ReflectivityTransform().encode(torch.tensor(rates[:-1]))
    np.testing.assert_allclose(pixel_values(rates[:-1]), by_model.numpy(), atol=1e-6)


@pytest.mark.parametrize(("threshold_mmh", "smallest"), [(0.5, 109), (2, 140), (5, 161), (10, 176), (30, 201)])
def test_an_event_in_rain_is_the_paper_s_event_in_pixels(threshold_mmh, smallest):
    levels = np.arange(256) / 255
    rate_mmh = ReflectivityTransform().decode(torch.from_numpy(levels)).numpy()
    events = contingency(rate_mmh, rate_mmh, threshold_mmh).hits
    assert events == 256 - smallest == np.count_nonzero(levels >= pixel_values(np.array(threshold_mmh)))


def test_weights_are_the_paper_s():
    np.testing.assert_array_equal(balance_weight(np.array([0.4, 1, 2, 3, 5, 7, 20, 40])), [1, 1, 2, 2, 5, 5, 10, 30])


def test_balanced_errors_by_hand():
    observed = np.array([[[3.0, NAN], [0.0, 40.0]], [[NAN, NAN], [NAN, NAN]]])
    forecast = np.array([[[0.0, 1.0], [0.0, 0.5]], [[1.0, 1.0], [1.0, 1.0]]])
    three, half, forty = pixel_values(np.array([3.0, 0.5, 40.0]))
    b_mse, b_mae = BMSE(), BMAE()
    # one frame counts: the other was not observed at all
    assert b_mse.value(b_mse.totals(forecast, observed)) == pytest.approx(2 * three**2 + 30 * (forty - half) ** 2)
    assert b_mae.value(b_mae.totals(forecast, observed)) == pytest.approx(2 * three + 30 * (forty - half))


def test_fractions_by_hand():
    forecast, observed = np.zeros((1, 3, 4)), np.zeros((1, 3, 4))
    forecast[0, 1, 1], observed[0, 1, 2] = 2.0, 2.0
    assert FSS(1.0, 1).value(FSS(1.0, 1).totals(forecast, observed)) == 0.0
    # 3 x 3: each event is in the squares of 9 cells; squares hold 4 (corner), 6 (edge) or 9 cells
    totals = FSS(1.0, 3).totals(forecast, observed)
    f = np.array([[1 / 4, 1 / 6, 1 / 6, 0], [1 / 6, 1 / 9, 1 / 9, 0], [1 / 4, 1 / 6, 1 / 6, 0]])
    o = f[:, ::-1]
    assert totals.windows == 12
    assert totals.difference == pytest.approx(((f - o) ** 2).sum())
    assert totals.worst == pytest.approx((f**2).sum() + (o**2).sum())
    assert FSS(1.0, 3).value(totals) == pytest.approx(1 - ((f - o) ** 2).sum() / (2 * (f**2).sum()))


@pytest.mark.parametrize("edge", [1, 3, 7])
def test_fractions_are_those_of_the_library_where_all_is_observed_and_the_rim_is_dry(edge):
    forecast, observed = np.random.default_rng(1).gamma(0.5, 2.0, (2, 30, 20))
    for field in (forecast, observed):
        field[:8] = field[-8:] = 0.0
        field[:, :8] = field[:, -8:] = 0.0
    library = fss_2d_single_field(forecast, observed, event_threshold=1.0, window_size=(edge, edge), zero_padding=True)
    assert FSS(1.0, edge).value(FSS(1.0, edge).totals(forecast, observed)) == pytest.approx(float(library), rel=1e-9)


def test_a_missing_radar_is_not_dry():
    forecast, observed = np.random.default_rng(2).gamma(0.5, 2.0, (2, 1, 9, 8))
    forecast[0, 2:4, 3], observed[0, 6:, :2] = NAN, NAN
    seen = np.isfinite(forecast[0]) & np.isfinite(observed[0])
    difference = worst = 0.0
    for r, c in zip(*np.nonzero(seen), strict=True):
        square = (slice(max(r - 2, 0), r + 3), slice(max(c - 2, 0), c + 3))
        f, o = ((field[0][square] >= 1.0)[seen[square]].mean() for field in (forecast, observed))
        difference, worst = difference + (f - o) ** 2, worst + f**2 + o**2
    totals = FSS(1.0, 5).totals(forecast, observed)
    assert totals.windows == np.count_nonzero(seen)
    assert totals.difference == pytest.approx(difference)
    assert totals.worst == pytest.approx(worst)


def test_a_displaced_cell_scores_better_in_a_wider_window():
    forecast, observed = np.zeros((2, 1, 40, 40))
    forecast[0, 18:22, 14:18], observed[0, 18:22, 20:24] = 5.0, 5.0
    values = [FSS(1.0, edge).value(FSS(1.0, edge).totals(forecast, observed)) for edge in (1, 7, 13, 25)]
    assert values[0] == 0.0
    assert values == sorted(values)
    assert values[-1] > 0.5


@pytest.mark.parametrize(
    ("km", "pixel_m", "cells"), [(36, 7258, 5), (20, 7258, 3), (1, 7258, 1), (5, 1000, 5), (10, 1000, 11)]
)
def test_a_window_in_km_becomes_the_nearest_odd_number_of_cells(km, pixel_m, cells):
    assert FSS.of_km(1.0, km, pixel_m).window_cells == cells


def test_an_even_window_has_no_middle():
    with pytest.raises(ValueError, match="an odd number of cells"):
        FSS(1.0, 4)


def test_window_sums_are_exact_integers():
    sums = window_sums(np.ones((1, 5, 4), bool), 3)
    assert sums.dtype == np.int64
    np.testing.assert_array_equal(sums[0, 0], [4, 6, 6, 4])
    np.testing.assert_array_equal(sums[0, 2], [6, 9, 9, 6])
