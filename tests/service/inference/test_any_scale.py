"""A model of any scale forecasts on the scans' own grid, at their cadence, out to the longest lead of the settings."""

from datetime import timedelta
from typing import ClassVar

import numpy as np
import pytest

from core.errors import ConfigError, ConflictError
from service.forecasts.products import kept_input
from tests.service.conftest import START, Fading

EVERY_5 = range(0, 121, 5)


class Native(Fading):
    """A model of any scale that records the scale of its inputs."""

    any_scale: ClassVar[bool] = True
    scales: ClassVar[list[tuple[float | None, float | None]]] = []

    def forecast(self, rate_mmh_THW, lead_steps=5, *, cadence_minutes=None, pixel_m=None, members=0):
        self.scales.append((cadence_minutes, pixel_m))
        return self.fields(rate_mmh_THW, lead_steps)


@pytest.fixture
def opened(open_world):
    Native.scales.clear()
    return lambda **settings: open_world(Native(), **settings)


def test_every_scan_of_two_hours_gives_a_lead_each_five_minutes(opened, rain):
    world = opened()
    world.put(*(rain(minutes) for minutes in EVERY_5))
    forecast = world.service.forecast_stored()
    assert forecast.lead_minutes == tuple(range(5, 151, 5))
    assert forecast.grid.shape == rain(0).grid.shape
    assert (forecast.status, len(forecast.input_times)) == ("ok", 25)
    assert Native.scales == [(5, 1000.0)]
    assert {one.lead_minutes for one in world.service.list()} == {forecast.lead_minutes}
    assert len(world.service.list()) == 3


@pytest.mark.parametrize("cadence", [10, 15, 30])
def test_a_slower_source_has_its_own_multiples(opened, rain, cadence):
    world = opened()
    world.put(*(rain(minutes) for minutes in range(0, 121, cadence)))
    forecast = world.service.forecast_stored(with_baselines=False)
    assert forecast.lead_minutes == tuple(range(cadence, 151, cadence))
    assert Native.scales[0][0] == cadence


def test_a_lead_step_keeps_every_nth_lead_of_the_same_forecast(opened, rain):
    world = opened(lead_minutes=60, lead_step_minutes=20)
    world.put(*(rain(minutes) for minutes in EVERY_5))
    forecast = world.service.forecast_stored(with_baselines=False)
    assert forecast.lead_minutes == (20, 40, 60)
    whole = opened(lead_minutes=60).service.forecast_stored(with_baselines=False)
    assert whole.id != forecast.id
    np.testing.assert_array_equal(forecast.rate_mmh_THW, whole.rate_mmh_THW[3::4])
    inputs = kept_input(forecast)
    assert (inputs.cadence_minutes, inputs.lead_minutes) == (5, forecast.lead_minutes)
    world.service.baselines.compute(forecast)
    assert world.service.baselines.missing() == [whole]
    assert {one.lead_minutes for one in world.service.list() if one.model == "extrapolation"} == {(20, 40, 60)}


def test_a_lead_step_that_the_cadence_cannot_have_is_refused(opened, rain):
    world = opened(lead_step_minutes=20)
    world.put(*(rain(minutes) for minutes in range(0, 121, 15)))
    with pytest.raises(ConflictError, match="NOWCAST_LEAD_STEP_MINUTES"):
        world.service.forecast_stored()


def test_coarser_cells_by_setting(opened, rain):
    world = opened(grid_m=500.0)
    world.put(*(rain(minutes) for minutes in EVERY_5))
    assert world.service.forecast_stored(with_baselines=False).grid.shape == rain(0).grid.shape, "never finer"
    coarse = opened(grid_m=2000.0, lead_minutes=30).service.forecast_stored(with_baselines=False)
    assert coarse.grid.shape == rain(0).grid.shape, "never less than 64 cells"


@pytest.mark.parametrize(("spacing", "leads"), [(5, range(5, 151, 5)), (30, range(30, 151, 30)), (60, (60, 120))])
def test_five_frames_of_an_upload_give_leads_at_their_spacing(opened, rain, spacing, leads):
    world = opened()
    forecast = world.service.forecast_upload([rain(step * spacing) for step in range(5)])
    assert (forecast.lead_minutes, forecast.notes) == (tuple(leads), ())
    assert Native.scales == [(spacing, 1000.0)]


def test_two_scans_are_enough_and_one_is_not(opened, rain):
    world = opened()
    world.put(rain(120))
    with pytest.raises(ConflictError, match="at least 2 frames"):
        world.service.forecast_stored()
    world.put(rain(115))
    forecast = world.service.forecast_stored()
    assert (forecast.method, forecast.status) == ("fading", "degraded")


def test_fields_of_the_last_half_hour_are_needed(opened, rain):
    world = opened()
    world.put(rain(70), rain(75), rain(120))
    forecast = world.service.forecast_stored()
    assert forecast.method == "extrapolation"
    assert forecast.reference_time == START + timedelta(minutes=120)


@pytest.mark.parametrize(
    ("settings", "phrase"),
    [
        ({"grid_m": 2000.0}, "NOWCAST_GRID_M: fading runs on cells of 2000 m alone"),
        ({"lead_step_minutes": 45}, "fading has a cadence of 30 minutes: NOWCAST_LEAD_STEP_MINUTES"),
        ({"lead_minutes": 25}, "fading has a cadence of 30 minutes: .* at most 25 minutes apart"),
    ],
)
def test_a_setting_that_a_model_cannot_honour_is_named(open_world, settings, phrase):
    with pytest.raises(ConfigError, match=phrase):
        open_world(**settings).service.setting_checks.check()
    open_world().service.setting_checks.check()


def test_settings_that_the_stored_scans_do_not_allow_are_named(opened, rain):
    every_15 = [rain(minutes) for minutes in range(0, 121, 15)]
    for settings, phrase in (
        ({"lead_step_minutes": 20}, "scans are 15 minutes apart: NOWCAST_LEAD_STEP_MINUTES"),
        ({"grid_m": 500.0}, "NOWCAST_GRID_M: expected at least the edge of the scans' cells, 1000 m, got 500"),
    ):
        opened(**settings).put(*every_15)
        with pytest.raises(ConfigError, match=phrase):
            opened(**settings).service.setting_checks.check()
    opened(grid_m=1000.0, lead_step_minutes=30).service.setting_checks.check()


def test_a_model_of_any_scale_honours_them(opened):
    opened(grid_m=2000.0, lead_step_minutes=45).service.setting_checks.check()
