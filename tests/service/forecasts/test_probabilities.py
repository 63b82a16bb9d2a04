"""Exceedance probabilities: from one call of the model into the file, or omitted with a note, but never wrong."""

from concurrent.futures import ThreadPoolExecutor

import netCDF4
import numpy as np
import pytest
import rasterio
import xarray as xr

from core.errors import ForecastError, NoDataError
from core.exceedance import PROBABILITY_ERROR, PROBABILITY_STEP
from service.forecasts.probabilities import read_probabilities, threshold_index
from service.forecasts.products import read_forecast
from service.inference.batch import Batching
from service.inference.lead_checks import Expected, ProbabilityError, checked_leads
from service.inference.predictor import Predictor
from tests.service.api_support import as_stored, chance_of
from tests.service.conftest import Fading
from tests.service.fakes import fields_of, leads_of, whole, write_fields

RATES_MMH = (0.1, 0.5, 5.0)


def chances(rate_mmh_LHW):
    return np.stack([chance_of(rate_mmh_LHW, rate_mmh) for rate_mmh in RATES_MMH])


def rising(rate_mmh_LHW):
    return chances(rate_mmh_LHW)[::-1]


def spoilt(value):
    def made(rate_mmh_LHW):
        found = chances(rate_mmh_LHW)
        found[1, 2, 10, 10] = value
        return found

    return made


def of_file(forecast):
    found = read_probabilities(forecast.path)
    assert found is not None
    return found


@pytest.fixture
def rates(window_frames):
    return np.stack([frame.rate_mmh_HW for frame in window_frames])


@pytest.fixture
def world(open_world):
    return open_world(Fading(thresholds_mmh=RATES_MMH, chances=chances))


@pytest.fixture
def forecast(world, window_frames):
    world.put(*window_frames)
    return world.service.forecast_stored()


def test_one_call_makes_rates_and_probabilities(world, rates):
    prediction = world.service.predictor.predict("default", rates, 5, 30, take=whole)
    assert world.model.calls == 1
    assert prediction.notes == ()
    fields = prediction.result
    assert fields.thresholds_mmh == RATES_MMH
    np.testing.assert_array_equal(fields.exceedance_probability_KLHW, chances(fields.rate_mmh_LHW))
    assert np.isnan(fields.exceedance_probability_KLHW[:, :, :4, :4]).all()
    assert np.isfinite(fields.exceedance_probability_KLHW[:, :, 4:]).all()


@pytest.mark.parametrize(
    ("made", "why"),
    [
        (spoilt(np.nan), "expected values within 0 to 1 where the newest input has a rate, got 1 other"),
        (spoilt(1.01), "expected values within 0 to 1 where the newest input has a rate, got 1 other"),
        (spoilt(-0.01), "expected values within 0 to 1 where the newest input has a rate, got 1 other"),
        (rising, "expected values that do not rise with the threshold, got"),
        (lambda rate_mmh_LHW: chances(rate_mmh_LHW)[:2], "expected fields of (3, 5, 40, 40) and ascending thresholds"),
    ],
)
def test_bad_probabilities_are_omitted_and_the_forecast_stays(world, window_frames, made, why):
    world.model.chances = made
    world.put(*window_frames)
    forecast = world.service.forecast_stored()
    assert (forecast.method, forecast.status, forecast.thresholds_mmh) == ("fading", "degraded", ())
    assert "probabilities omitted" in forecast.notes[0]
    assert why in forecast.notes[0]
    assert read_probabilities(forecast.path) is None
    assert np.isfinite(forecast.rate_mmh_THW[:, 10:]).all()


def kept(rates, found, thresholds_mmh):
    """The leads that pass the checks."""
    fields = fields_of(rates, found, thresholds_mmh)
    return list(checked_leads(leads_of(fields), Expected(rates[-1], len(rates), thresholds_mmh)))


def test_probabilities_where_nothing_was_observed_do_not_matter(rates):
    found = chances(rates)
    found[:, :, :4, :4] = 7.0
    for lead in kept(rates, found, RATES_MMH):
        assert lead.exceedance_probability_KHW is not None
        assert np.isnan(lead.exceedance_probability_KHW[:, :4, :4]).all()


def test_thresholds_that_do_not_rise_are_refused(rates):
    with pytest.raises(ProbabilityError, match="ascending thresholds"):
        kept(rates, chances(rates), (0.5, 0.1, 5.0))
    assert all(lead.exceedance_probability_KHW is None for lead in kept(rates, chances(rates)[:0], ()))


def test_a_model_must_return_every_lead(rates):
    fields = fields_of(rates)
    with pytest.raises(ForecastError, match="expected 6 leads, got 5"):
        list(checked_leads(leads_of(fields), Expected(rates[-1], 6, ())))


def test_neither_a_baseline_nor_a_fallback_has_probabilities(world, window_frames):
    world.put(*window_frames)
    world.service.forecast_stored()
    for name in ("persistence", "extrapolation"):
        assert world.service.forecast_stored(model=name).thresholds_mmh == ()
    world.model.fails = ForecastError("it diverged")
    fallback = world.service.forecast_upload(window_frames)
    assert (fallback.method, fallback.thresholds_mmh) == ("extrapolation", ())
    assert read_probabilities(fallback.path) is None


def test_a_batch_carries_the_probabilities_of_each(rates):
    batches = []

    class Many(Fading):
        def forecast_batch(self, rate_mmh_BTHW, lead_steps=5, **given):
            batches.append(len(rate_mmh_BTHW))
            return super().forecast_batch(rate_mmh_BTHW, lead_steps, **given)

    model = Many(thresholds_mmh=RATES_MMH, chances=chances)
    predictor = Predictor(lambda _: model, batching=Batching(size=3, wait_s=20))
    given = [rates, rates * 2, rates * 3]
    with ThreadPoolExecutor(3) as pool:
        made = [
            each.result(30)
            for each in [pool.submit(predictor.predict, "default", one, 3, 30, take=whole) for one in given]
        ]
    assert batches == [3]
    for prediction, one in zip(made, given, strict=True):
        found, own = prediction.result.exceedance_probability_KLHW, chances(model.forecast(one, 3).rate_mmh_LHW)
        assert found is not None
        np.testing.assert_array_equal(found, own, err_msg="of another input")


def test_the_file_holds_them_with_a_known_error(forecast):
    expected_NTHW = as_stored(chances(forecast.rate_mmh_THW))
    found = of_file(forecast)
    assert found.thresholds_mmh == forecast.thresholds_mmh == RATES_MMH
    np.testing.assert_array_equal(found.probability_NTHW, expected_NTHW)
    np.testing.assert_allclose(expected_NTHW, chances(forecast.rate_mmh_THW), atol=PROBABILITY_ERROR + 1e-6)
    assert (np.diff(found.probability_NTHW[..., 4:, :], axis=0) <= 0).all()
    assert read_forecast(forecast.path) == forecast


def test_all_and_nothing_stay_just_that(world, forecast):
    certain = np.ones((3, 5, *forecast.grid.shape), np.float32)
    certain[1:] = 0.0
    write_fields(forecast, fields_of(forecast.rate_mmh_THW, certain, RATES_MMH))
    np.testing.assert_array_equal(of_file(forecast).probability_NTHW, certain)


def test_the_variable_is_cf_and_xarray_opens_it(forecast):
    with xr.open_dataset(forecast.path) as dataset:
        chance = dataset.exceedance_probability_0p5
        assert chance.dims == ("time", "y", "x")
        assert (chance.attrs["units"], chance.attrs["grid_mapping"]) == ("1", "crs")
        assert "at or above 0.5 mm h-1" in chance.attrs["long_name"]
        assert chance.attrs["threshold_mmh"] == 0.5
        assert {"exceedance_probability_0p1", "exceedance_probability_5"} < set(dataset.data_vars)
        one = chance.isel(time=0)
        expected_HW = as_stored(chances(forecast.rate_mmh_THW))[1, 0]
        np.testing.assert_allclose(one.values, expected_HW, atol=1e-6)
        assert float(chance.forecast_period[0]) == 30
    with netCDF4.Dataset(forecast.path) as file:
        variable = file["exceedance_probability_0p5"]
        assert variable.filters()["zlib"]
        assert (variable.dtype, variable.scale_factor) == (np.uint8, PROBABILITY_STEP)
        assert variable.chunking() == [1, *forecast.grid.shape]


def test_gdal_finds_a_band_for_each_lead_of_a_threshold(forecast):
    expected_NTHW = as_stored(chances(forecast.rate_mmh_THW))
    with rasterio.open(f"netcdf:{forecast.path}:exceedance_probability_0p5") as raster:
        assert raster.count == 5
        assert raster.crs.is_projected
        assert raster.transform.a == pytest.approx(forecast.grid.pixel_x_m)
        assert raster.transform.f == pytest.approx(forecast.grid.north_m)
        band = raster.read(1 + 2, masked=True) * raster.scales[0] + raster.offsets[0]
        np.testing.assert_allclose(band.filled(np.nan), expected_NTHW[1, 2], atol=1e-6)


def test_the_catalogue_made_anew_knows_the_thresholds(world, forecast):
    world.service.catalogue.rebuild()
    assert world.service.get(forecast.id).thresholds_mmh == RATES_MMH


def test_a_threshold_is_found_or_the_message_names_those_of_the_forecast():
    assert threshold_index(RATES_MMH, float(np.float32(0.1))) == 0
    with pytest.raises(NoDataError, match=r"threshold: expected one of 0\.1, 0\.5, 5 mm/h, got 2 mm/h"):
        threshold_index(RATES_MMH, 2.0)
    with pytest.raises(NoDataError, match="has no probabilities"):
        threshold_index((), 0.5)
