"""Whatever a model does, a forecast is made, and it names its method."""

import numpy as np
import pytest
from celery.exceptions import SoftTimeLimitExceeded

from core.errors import ForecastError, InputError, UnavailableError, UnknownNameError
from models.baselines import Persistence
from service.inference.predictor import Predictor
from tests.service.fakes import whole


@pytest.fixture
def rates(window_frames):
    return np.stack([frame.rate_mmh_HW for frame in window_frames])


def test_a_good_model_serves_itself(world, rates):
    prediction = world.service.predictor.predict("default", rates, 5, 30, take=whole)
    assert (prediction.method, prediction.notes) == ("fading", ())
    np.testing.assert_array_equal(np.isnan(prediction.result.rate_mmh_LHW), np.isnan(rates[[-1] * 5]))


@pytest.mark.parametrize(
    ("spoilt", "reason"),
    [
        ({"fails": ForecastError("it diverged")}, "default failed: it diverged"),
        ({"fails": RuntimeError("out of memory")}, "default failed: RuntimeError: out of memory"),
        ({"spoils": np.nan}, "got 1 other values"),
        ({"spoils": np.inf}, "got 1 other values"),
        ({"spoils": -1.0}, "got 1 other values"),
    ],
)
def test_a_failing_model_is_replaced_by_extrapolation(world, rates, window_frames, spoilt, reason):
    for name, value in spoilt.items():
        setattr(world.model, name, value)
    prediction = world.service.predictor.predict("default", rates, 5, 30, take=whole)
    assert prediction.method == "extrapolation"
    assert reason in prediction.notes[0]
    assert np.isfinite(prediction.result.rate_mmh_LHW[:, 10:, 10:]).all()
    forecast = world.service.forecast_upload(window_frames)
    assert (forecast.method, forecast.model) == ("extrapolation", "fading")
    world.put(*window_frames)
    stored = world.service.forecast_stored()
    assert stored.status == "degraded"
    assert reason in stored.notes[0]


def test_values_where_nothing_was_observed_do_not_matter(world, rates):
    world.model.spoils = np.nan
    rates[-1, 10, 10] = np.nan
    assert world.service.predictor.predict("default", rates, 5, 30, take=whole).method == "fading"


def test_persistence_is_the_last_resort(world, rates):
    world.model.fails = ForecastError("it diverged")
    rates[:-1] = np.nan  # too little for a motion
    prediction = world.service.predictor.predict("default", rates, 3, 30, take=whole)
    assert prediction.method == "persistence"
    assert len(prediction.notes) == 3
    np.testing.assert_array_equal(prediction.result.rate_mmh_LHW, rates[[-1] * 3])


class Endless(Persistence):
    """Runs until the task that it is part of has used its time."""

    def leads(self, *_, **__):
        raise SoftTimeLimitExceeded


def test_the_end_of_a_task_is_not_a_failure_that_another_method_may_repair(rates):
    """A further fallback would run into the hard limit, which ends the whole worker."""
    loaded = []

    def load(name):
        loaded.append(name)
        return Endless() if name == "extrapolation" else Persistence()

    with pytest.raises(SoftTimeLimitExceeded):
        Predictor(load).predict("extrapolation", rates, 5, 30, take=whole)
    assert loaded == ["extrapolation"]


def test_an_invalid_request_is_not_a_model_failure(world, rates):
    rates[-1, 0, 0] = -1
    with pytest.raises(InputError, match="below 0"):
        world.service.predictor.predict("persistence", rates, 5, 30, take=whole)


def test_a_model_that_does_not_load_has_a_fallback_and_is_retried(rates):
    broken = [OSError("checkpoint is cut"), None]

    def load(name):
        if name == "default" and (err := broken.pop(0)):
            raise err
        return Persistence()

    predictor = Predictor(load)
    fallback = predictor.forecaster("default")
    assert (fallback.version, fallback.card) == ("not-loaded", {"error": "OSError: checkpoint is cut"})
    assert predictor.forecaster("default").version == "1"
    assert predictor.forecaster("default") is predictor.forecaster("default")


def test_warming_reports_the_error(world):
    world.service.predictor.warm("default")
    assert world.model.calls == 1
    world.model.fails = RuntimeError("no memory")
    with pytest.raises(UnavailableError, match="no memory"):
        world.service.predictor.warm("default")


def test_a_request_cannot_name_a_folder(tmp_path):
    predictor = Predictor.on_device("cpu")
    with pytest.raises(UnknownNameError, match="persistence"):
        predictor.forecaster(str(tmp_path))
    with pytest.raises(UnknownNameError, match="did you mean persistence"):
        predictor.forecaster("../persistence")
    assert predictor.forecaster("persistence").name == "persistence"
