"""S-PROG and STEPS of pysteps as forecasters: missing cells, dry fields, members and their mean."""

import numpy as np
import pytest

from core.errors import ForecastError, InputError
from models import load_forecaster
from models.ensembles import StepsEnsemble, matched_mean

EDGE = 64


def showers(steps=5, speed=2, seed=0):
    """Return textured rain that moves east, mm/h."""
    random = np.random.default_rng(seed)
    y, x = np.mgrid[:EDGE, :EDGE]
    places = random.uniform(5, EDGE - 5, (12, 2))
    fields = [
        sum(4 * np.exp(-((x - left - speed * t) ** 2 + (y - top) ** 2) / 18) for left, top in places)
        for t in range(steps)
    ]
    return np.stack(fields).astype(np.float32)


@pytest.fixture(params=["sprog", "steps"])
def forecaster(request):
    return StepsEnsemble(members=3) if request.param == "steps" else load_forecaster("sprog")


def forecast(forecaster, rate_mmh_THW, leads=2, **more):
    return forecaster.forecast(rate_mmh_THW, leads, cadence_minutes=10, pixel_m=2000.0, **more)


def test_rain_moves_and_missing_cells_stay_missing(forecaster):
    rate = showers()
    rate[-1, :6] = np.nan
    rate[1, 20:24, 20:24] = np.nan
    result = forecast(forecaster, rate)
    assert np.isnan(result.rate_mmh_LHW[:, :6]).all()
    assert (result.rate_mmh_LHW[:, 6:] >= 0).all()
    assert not result.known_LHW[:, :6].any()
    inner = (slice(10, -10), slice(10, -10))
    truth = showers(6)[5]
    moved = np.corrcoef(result.rate_mmh_LHW[0][inner].ravel(), truth[inner].ravel())[0, 1]
    stayed = np.corrcoef(rate[-1][inner].ravel(), truth[inner].ravel())[0, 1]
    assert moved > stayed > 0
    assert not result.known_LHW[-1, :, 0].any()  # rain moves east: the west can only be filled from outside


@pytest.mark.parametrize("wet_cells", [0, 1, 20])
def test_little_rain_is_extrapolated(forecaster, wet_cells):
    rate = np.zeros((3, EDGE, EDGE), np.float32)
    rate[:, 30, :wet_cells] = 1.0
    result = forecast(forecaster, rate)
    assert result.rate_mmh_LHW.sum(axis=(1, 2)) == pytest.approx([wet_cells] * 2)


def test_rain_without_variance_is_extrapolated(forecaster):
    rate = np.zeros((3, EDGE, EDGE), np.float32)
    rate[:, :20, :20] = 1.0
    np.testing.assert_allclose(forecast(forecaster, rate).rate_mmh_LHW[0].sum(), 400, rtol=0.5)


def test_rain_that_begins_is_extrapolated(forecaster):
    rate = np.zeros((3, EDGE, EDGE), np.float32)
    rate[-1, 20:40, 20:40] = np.random.default_rng(0).gamma(1.0, 2.0, (20, 20))
    np.testing.assert_allclose(forecast(forecaster, rate).rate_mmh_LHW[0].sum(), rate[-1].sum(), rtol=0.1)


def test_two_fields_are_enough_and_a_missing_third_is_left_out(forecaster):
    rate = showers()
    two = forecast(forecaster, rate[-2:]).rate_mmh_LHW
    rate[-3] = np.nan
    np.testing.assert_array_equal(forecast(forecaster, rate).rate_mmh_LHW, two)
    rate[-2] = np.nan
    with pytest.raises(ForecastError, match="two newest fields"):
        forecast(forecaster, rate)


def test_members_on_request_and_always_the_same():
    rate = showers()
    rate[-1, 0] = np.nan
    steps = StepsEnsemble(members=3)
    result = forecast(steps, rate, members=3)
    assert result.members_MLHW.shape == (3, 2, EDGE, EDGE)
    assert np.isnan(result.members_MLHW[:, :, 0]).all()
    inside = result.members_MLHW[:, :, 1:]
    assert (inside[0] != inside[1]).any()
    np.testing.assert_allclose(result.rate_mmh_LHW[:, 1:], inside.mean(axis=0), rtol=1e-5)
    one_mmh = result.thresholds_mmh.index(1.0)
    np.testing.assert_allclose(
        result.exceedance_probability_KLHW[one_mmh, :, 1:], (inside >= 1.0).mean(axis=0), rtol=1e-6
    )
    again = forecast(StepsEnsemble(members=3), rate)
    assert again.members_MLHW is None
    np.testing.assert_array_equal(again.rate_mmh_LHW, result.rate_mmh_LHW)
    assert forecast(steps, rate, members=2).members_MLHW.shape[0] == 2


def test_chosen_steps_are_those_of_the_whole_forecast(forecaster):
    rate = showers()
    spacing = {"cadence_minutes": 10.0, "pixel_m": 2000.0}
    every = forecaster.fields_at(rate, [1, 2, 3], **spacing)
    assert every.shape == (forecaster.ensemble_size, 3, EDGE, EDGE)
    # pysteps traces two steps at once less finely than one after the other
    chosen = forecaster.fields_at(rate, [1, 3], **spacing)
    assert np.corrcoef(chosen.ravel(), every[:, [0, 2]].ravel())[0, 1] > 0.99


def test_members_of_a_forecaster_without_any_are_refused():
    with pytest.raises(InputError, match="members must be 0 for sprog"):
        forecast(load_forecaster("sprog"), showers(), members=4)
    with pytest.raises(InputError, match="members must be an integer of at least 0, got -1"):
        forecast(StepsEnsemble(members=3), showers(), members=-1)


def test_the_matched_mean_by_hand():
    members = np.array([[[0.0, 1.0], [2.0, 9.0]], [[0.0, 3.0], [4.0, 5.0]]], np.float32)
    # sorted: 0 0 1 2 3 4 5 9, of which every second from the largest on is kept: 9 4 2 0; means 0 2 3 7
    np.testing.assert_array_equal(matched_mean(members), [[0.0, 2.0], [4.0, 9.0]])


def test_the_shipped_ensemble_has_twenty_members():
    steps = load_forecaster("steps")
    assert isinstance(steps, StepsEnsemble)
    assert steps.ensemble_size == 20
