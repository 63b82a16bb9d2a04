"""Scores of probabilities against values worked out by hand and against the library `scores`."""

import numpy as np
import pytest
from scores.continuous import mae
from scores.probability import brier_score, crps_cdf
from xarray import DataArray

from verification.scores.brier import Brier
from verification.scores.crps import CRPS, HIGHEST_MMH
from verification.scores.rate_mae import RateMAE
from verification.scores.reliability import Reliability, ReliabilityBins


@pytest.fixture
def random():
    return np.random.default_rng(3)


def test_brier_by_hand():
    chance = np.array([[0.0, 0.5], [1.0, np.nan]])
    observed = np.array([[0.0, 2.0], [0.5, 3.0]])
    sums = Brier(1.0).totals(chance, observed)
    assert (sums.squares, sums.events, sums.cells) == (1.25, 1, 3)
    assert sums.of_climatology().squares == pytest.approx(3 * (1 / 3) * (2 / 3))
    assert sums.skill(sums.of_climatology()) == pytest.approx(1 - 1.25 / (2 / 3))
    with pytest.raises(ValueError, match="the same cells"):
        sums.skill(Brier(1.0).totals(chance[:1], observed[:1]))


def test_brier_is_the_library_s(random):
    chance, observed = random.random((3, 8, 9)), random.gamma(0.5, 2.0, (3, 8, 9))
    event = DataArray((observed >= 2.0).astype(float))
    found = Brier(2.0)
    assert found.value(found.totals(chance, observed)) == pytest.approx(float(brier_score(DataArray(chance), event)))


def test_probabilities_outside_0_to_1_are_refused():
    with pytest.raises(ValueError, match="within 0 to 1"):
        Brier().totals(np.full((2, 2), 1.2), np.zeros((2, 2)))


def test_reliability_by_hand():
    chance = np.array([[0.05, 0.05, 0.95, 1.0]])
    observed = np.array([[0.0, 5.0, 5.0, 5.0]])
    bins = Reliability(1.0).totals(chance, observed)
    assert bins.points() == [(0.05, 0.5, 2), (pytest.approx(0.975), 1.0, 2)]
    assert bins.largest_gap(1) == pytest.approx(0.45)
    assert np.isnan(bins.largest_gap(2))
    assert Reliability().value(bins) == pytest.approx((0.45**2 + 0.025**2) / 2)


def test_events_as_frequent_as_forecast_are_reliable(random):
    chance = random.random((1, 400, 400))
    observed = (random.random(chance.shape) < chance) * 3.0
    assert Reliability(1.0).totals(chance, observed).largest_gap(1000) < 0.02


@pytest.mark.filterwarnings("ignore:numba is not available")
def test_crps_is_the_library_s(random):
    score = CRPS(thresholds_mmh=(1.0, 2.0, 5.0))
    chance_KHW = np.sort(random.random((3, 6, 7)), axis=0)[::-1]
    observed = random.gamma(1.0, 2.0, (6, 7))
    edges = np.array([0.0, 1.0, 2.0, 5.0, HIGHEST_MMH])
    below = 1 - np.stack([chance_KHW[0], *chance_KHW, np.zeros((6, 7))])
    forecast = DataArray(below, dims=("rate", "y", "x"), coords={"rate": edges})
    library = crps_cdf(forecast, DataArray(observed, dims=("y", "x")), threshold_dim="rate")["total"]
    assert score.value(score.totals(chance_KHW, observed)) == pytest.approx(float(library), rel=1e-9)


def test_crps_of_certainty_is_the_absolute_error():
    score = CRPS(thresholds_mmh=(0.5, 1.0, 1.001))
    chance_KHW = np.array([1.0, 1.0, 0.0])[:, None, None]
    for observed_mmh in (0.2, 1.0, 4.0, 80.0):
        value = score.value(score.totals(chance_KHW, np.full((1, 1), observed_mmh)))
        assert value == pytest.approx(abs(observed_mmh - 1.0), abs=0.01)


def test_absolute_error_is_the_library_s(random):
    forecast, observed = random.gamma(0.5, 2.0, (2, 3, 8, 9))
    expected = float(mae(DataArray(forecast), DataArray(observed)))
    assert RateMAE().value(RateMAE().totals(forecast, observed)) == pytest.approx(expected)


def test_the_brier_score_of_bins_by_hand():
    """Two bins: 4 cells at 0.25 of which one was wet, 6 at 0.85 of which three were."""
    cells, events = (0, 0, 4, *[0] * 5, 6, 0), (0, 0, 1, *[0] * 5, 3, 0)
    first = ReliabilityBins(cells, events, (0, 0, 1_000_000, *[0] * 5, 5_100_000, 0)).brier_parts()
    dry = ReliabilityBins((5, *[0] * 9)).brier_parts()
    assert first is not None
    assert dry is not None
    assert ReliabilityBins().brier_parts() is None
    assert (first.cells, first.events) == (10, 4)
    assert first.brier == pytest.approx((3 * 0.25**2 + 0.75**2 + 3 * 0.85**2 + 3 * 0.15**2) / 10)
    assert first.reliability == pytest.approx(6 * 0.35**2 / 10)
    assert first.resolution == pytest.approx((4 * 0.15**2 + 6 * 0.1**2) / 10)
    assert first.uncertainty == pytest.approx(0.24)
    assert first.skill == pytest.approx(1 - first.brier / 0.24)
    assert (dry.brier, dry.skill) == (0.0, None)
