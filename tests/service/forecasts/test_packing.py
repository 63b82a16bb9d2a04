"""Rates and probabilities of a file: rounded by known rules, and never a contradiction between them."""

import netCDF4
import numpy as np
import pytest
import xarray as xr
from hypothesis import given
from hypothesis import strategies as st

from core.exceedance import PROBABILITY_ERROR, PROBABILITY_STEP, probability_codes, variable_name
from service.forecasts.packing import RATE_MOST_MMH, packed_rate, rounded_rate, unpacked_rate
from service.forecasts.probabilities import read_probabilities
from service.forecasts.products import read_known
from service.forecasts.records import read_rate
from tests.service.fakes import fields_of, write_fields

THRESHOLDS_MMH = (0.1, 0.2, 0.5, 1.0, 2.0, 5.0, 10.0, 20.0)


@given(st.floats(0, 2000, width=32))
def test_a_rate_is_rounded_down_by_less_than_a_step_and_only_once(rate_mmh):
    once = rounded_rate(np.array([rate_mmh], np.float32))
    assert once[0] <= rate_mmh * (1 + 2e-6)
    assert rate_mmh - once[0] < (0.0101 if rate_mmh < RATE_MOST_MMH else 1e-3)
    np.testing.assert_array_equal(rounded_rate(once), once)


@given(st.floats(0, 50, width=32), st.sampled_from(THRESHOLDS_MMH))
def test_a_rate_stays_on_its_side_of_a_threshold(rate_mmh, threshold_mmh):
    rate, threshold = np.float32(rate_mmh), np.float32(threshold_mmh)
    if abs(rate / threshold - 1) > 2e-6:
        assert (rounded_rate(np.array([rate], np.float32))[0] >= threshold) == (rate >= threshold)
    assert rounded_rate(np.array([threshold], np.float32))[0] == threshold


def test_rates_are_held_in_half_the_memory_or_as_they_are():
    steps = rounded_rate(np.array([[0.0, 0.1, 0.29, 7.77, 655.3, np.nan]], np.float32))
    codes = packed_rate(steps)
    assert codes is not None
    assert codes.nbytes == steps.nbytes // 2
    np.testing.assert_array_equal(unpacked_rate(codes)[...], steps)
    assert packed_rate(np.array([[0.1234]], np.float32)) is None
    assert packed_rate(np.array([[5000.0]], np.float32)) is None


@given(st.floats(0, 1, width=32))
def test_a_probability_has_the_error_of_its_place(probability):
    kept = probability_codes(np.array([probability], np.float32))[0] * PROBABILITY_STEP
    from_end = min(probability, 1 - probability)
    largest = PROBABILITY_ERROR if from_end > 0.2 else 0.0125 if from_end > 0.1 else 0.0075
    assert abs(kept - probability) <= largest + 1e-6


def test_probabilities_keep_their_order_and_their_ends():
    every = np.linspace(0, 1, 10_001, dtype=np.float32)
    assert (np.diff(probability_codes(every).astype(int)) >= 0).all()
    assert probability_codes(np.array([0, 0.1, 0.2, 1, np.nan], np.float32)).tolist() == [0, 20, 40, 200, 255]


@pytest.mark.parametrize("seed", range(3))
def test_rate_and_probability_of_a_file_never_contradict_each_other(open_world, window_frames, seed):
    """Where the written rate reaches a threshold its written probability is at least 0.2, from 5 mm/h up 0.1."""
    world = open_world()
    world.put(*window_frames)
    forecast = world.service.forecast_stored()
    random = np.random.default_rng(seed)
    shape = (len(THRESHOLDS_MMH), 5, *forecast.grid.shape)
    chances = -np.sort(-(random.random(shape, np.float32) ** 3), axis=0)
    chances[random.random(shape) < 0.2] = 0.2
    chances = np.minimum.accumulate(chances, axis=0)
    least = np.array([0.2 if mmh < 5 else 0.1 for mmh in THRESHOLDS_MMH], np.float32)
    reached = np.logical_and.accumulate(chances >= least[:, None, None, None], axis=0).sum(axis=0)
    bounds = np.array([0, *THRESHOLDS_MMH, 700], np.float32)
    highest = np.nextafter(bounds[reached + 1] * np.float32(1 - 3e-6), 0, dtype=np.float32)
    rate = np.where(random.random(shape[1:]) < 0.5, highest, bounds[reached]).astype(np.float32)
    write_fields(forecast, fields_of(rate, chances, THRESHOLDS_MMH))
    with xr.open_dataset(forecast.path) as dataset, netCDF4.Dataset(forecast.path) as file:
        for mmh in THRESHOLDS_MMH:
            wet = dataset.rainfall_rate.values >= mmh
            assert wet.any()
            np.testing.assert_array_equal(wet, rate >= np.float32(mmh))
            assert (file[variable_name(mmh)][:][wet] >= (0.2 if mmh < 5 else 0.1)).all()


def test_some_leads_and_thresholds_are_read_alone(open_world, window_frames):
    world = open_world()
    world.put(*window_frames)
    forecast = world.service.forecast_stored()
    chances = np.stack([np.minimum(forecast.rate_mmh_THW / 100, 1), np.minimum(forecast.rate_mmh_THW / 200, 1)])
    known = np.isfinite(forecast.rate_mmh_THW)
    known[3, 20:] = False
    write_fields(forecast, fields_of(forecast.rate_mmh_THW, chances, (0.5, 2.0), known))
    whole = read_probabilities(forecast.path)
    some = read_probabilities(forecast.path, [3, 1], [1])
    assert whole is not None
    assert some is not None
    assert some.thresholds_mmh == (2.0,)
    np.testing.assert_array_equal(some.probability_NTHW, whole.probability_NTHW[1:, [3, 1]])
    np.testing.assert_array_equal(read_known(forecast.path, [3]), known[[3]])
    np.testing.assert_array_equal(read_rate(forecast.path, [4, 0]), forecast.rate_mmh_THW[[4, 0]])
