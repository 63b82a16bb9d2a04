"""A forecast is written while its leads are computed: one lead in memory, a whole file or none."""

import weakref
from types import SimpleNamespace
from typing import ClassVar

import numpy as np
import pytest

from core.errors import BusyError, ForecastError
from models.leads import ForecastLead
from service.inference.request_scope import request_scope
from tests.service.conftest import Fading, rain
from tests.waiting import PATIENCE_S

RATES_MMH = (0.1, 1.0)


class OneByOne(Fading):
    """A model of any scale whose leads are computed one after the other; `fails_at` is a number of a lead."""

    any_scale: ClassVar[bool] = True
    fails_at: int | None = None

    def leads(self, rate_mmh_THW, lead_steps=5, *, cadence_minutes=None, pixel_m=None):
        self.alive: list[int] = []
        self.computed = 0
        earlier: list[weakref.ref[np.ndarray]] = []
        for step in range(1, lead_steps + 1):
            self.alive.append(sum(ref() is not None for ref in earlier))
            self.before(step)
            rate_HW = (rate_mmh_THW[-1] / np.float32(step)).copy()
            chance_KHW = np.stack([np.clip(rate_HW / mmh / 10, 0, 1) for mmh in (1, 2)])
            earlier += [weakref.ref(rate_HW), weakref.ref(chance_KHW)]
            lead = ForecastLead(step, rate_HW, np.isfinite(rate_HW), chance_KHW)
            del rate_HW, chance_KHW
            self.computed += 1
            yield lead
            del lead

    def before(self, step):
        if step == self.fails_at:
            raise ForecastError("it diverged")


@pytest.fixture
def opened(open_world):
    def made(model, **settings):
        world = open_world(model, **settings)
        world.put(*(rain(minutes) for minutes in range(0, 121, 5)))
        return world

    return made


@pytest.mark.parametrize("step_minutes", [None, 15])
def test_no_more_than_one_lead_is_in_memory(opened, step_minutes):
    world = opened(OneByOne(thresholds_mmh=RATES_MMH), lead_step_minutes=step_minutes)
    forecast = world.service.forecast_stored(with_baselines=False)
    assert (forecast.method, forecast.thresholds_mmh) == ("fading", RATES_MMH)
    assert world.model.computed == 30
    assert max(world.model.alive) == 0, "each lead is freed before the next one is computed"
    newest = rain(120).rate_mmh_HW
    every = (step_minutes or 5) // 5
    for index, rate_HW in enumerate(forecast.rate_mmh_THW):
        np.testing.assert_allclose(rate_HW, newest / np.float32(every * (index + 1)), atol=0.011)


def test_a_model_that_fails_late_leaves_no_part_of_its_forecast(opened):
    model = OneByOne(thresholds_mmh=RATES_MMH)
    model.fails_at = 17
    world = opened(model)
    forecast = world.service.forecast_stored(with_baselines=False)
    assert (forecast.method, forecast.status, forecast.thresholds_mmh) == ("extrapolation", "degraded", ())
    assert "it diverged" in forecast.notes[0]
    assert np.isfinite(forecast.rate_mmh_THW[:, 20:, 20:]).all()
    assert not list(world.home.glob("forecasts/*/*/*/.*"))


def test_a_forecast_that_cannot_be_written_is_not_in_the_catalogue(opened, monkeypatch):
    world = opened(OneByOne(thresholds_mmh=RATES_MMH))

    def full(path, forecast):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("service.forecasts.maker.write_record", full)
    with pytest.raises(OSError, match="No space left"):
        world.service.forecast_stored(with_baselines=False)
    assert world.service.list() == []
    assert [path.name.partition("-")[0] for path in world.home.glob("forecasts/*/*/*/*")] == ["inputs"]


def test_a_model_that_takes_too_long_is_stopped_between_two_leads(opened, monkeypatch):
    class Slow(OneByOne):
        def before(self, step):
            if step == 3:
                monkeypatch.setattr("service.inference.request_scope.time", SimpleNamespace(monotonic=lambda: 1e12))

    world = opened(Slow())
    with request_scope(limit_s=PATIENCE_S), pytest.raises(BusyError, match="REQUEST_LIMIT"):
        world.service.forecast_stored(with_baselines=False)
    assert world.service.list() == [], "a request is sent again, and gets the model's forecast then"
    monkeypatch.undo()
    with request_scope(model_s=PATIENCE_S):
        forecast = world.service.forecast_stored(with_baselines=False)
    assert (forecast.model, forecast.method, forecast.status) == ("fading", "extrapolation", "degraded")
    assert "longer than NOWCAST_TASK_LIMIT_S" in forecast.notes[0]
    assert world.model.computed == 3, "no further lead for a caller that has gone on"


def test_a_model_that_is_not_free_in_time_is_not_waited_for(opened):
    world = opened(OneByOne())
    with request_scope(model_s=0.0):
        forecast = world.service.forecast_stored(with_baselines=False)
    assert forecast.method == "extrapolation"
    assert "within 0 s (NOWCAST_TASK_LIMIT_S)" in forecast.notes[0]
