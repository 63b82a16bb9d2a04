"""A scheduled forecast that was not made counts as missed, whatever the reason; a later one does not undo that."""

from datetime import timedelta

import pytest

from core.errors import NoDataError
from service.forecasts.periods import Period
from tests.service.conftest import START, Fading, rain

STEP = timedelta(minutes=30)
FIRST = START + timedelta(hours=2)
"""Reference time of the first forecast: two hours of scans are there."""


def run(world, steps, *, without_scans=(), failing=()):
    """Let the schedule follow the scans for some steps after the first reference time."""
    world.put(*(rain(minutes) for minutes in range(0, 91, 30)))
    for step in range(steps + 1):
        world.now = FIRST + STEP * step + timedelta(minutes=3)
        if step in without_scans:
            continue
        world.put(rain(120 + 30 * step))
        if step in failing:
            continue
        for time, model in world.service.schedule.pending():
            world.service.forecast_stored(time, model, scheduled=True)


def counted(world, hours=24.0, model=None):
    until = world.service.now()
    found = world.service.schedule.counts(Period(until - timedelta(hours=hours), until, model))
    return {one.model: (one.expected, one.made, one.missed) for one in found}


def test_all_forecasts_that_were_made_leave_none_missed(world):
    run(world, 6)
    assert counted(world) == dict.fromkeys(("fading", "persistence", "extrapolation"), (7, 7, 0))
    (own, *_) = world.service.schedule.counts(Period(START, world.now))
    assert (own.start, own.end, own.cadence_minutes) == (FIRST, FIRST + 6 * STEP, 30)


@pytest.mark.parametrize("cause", ["without_scans", "failing"])
def test_an_outage_of_the_source_or_of_the_service_is_missed(world, cause):
    run(world, 6, **{cause: (2, 3)})
    assert counted(world)["fading"] == (7, 5, 2)
    assert counted(world)["extrapolation"] == (7, 5, 2)


def test_a_time_is_missed_once_no_forecast_may_start_from_it(world):
    run(world, 2)
    world.put(rain(120 + 90))
    world.now = FIRST + 3 * STEP + timedelta(minutes=19)
    assert counted(world)["fading"] == (3, 3, 0)
    world.now += timedelta(minutes=2)
    assert counted(world)["fading"] == (4, 3, 1)


def test_an_outage_that_goes_on_is_counted_without_a_scan(world):
    run(world, 2)
    world.now = FIRST + 12 * STEP
    assert counted(world)["fading"] == (12, 3, 9)


def test_a_forecast_that_is_made_after_the_outage_stays_missed(world):
    run(world, 4, failing=(2,))
    assert counted(world)["fading"] == (5, 4, 1)
    world.service.forecast_stored(FIRST + 2 * STEP)
    assert counted(world)["fading"] == (5, 4, 1)


def test_a_forecast_that_a_user_asked_for_first_is_made(world):
    run(world, 3, failing=(2,))
    world.now = FIRST + 4 * STEP + timedelta(minutes=3)
    world.put(rain(120 + 120))
    world.service.forecast_stored()
    assert world.service.schedule.pending() == []
    assert counted(world)["fading"] == (5, 4, 1)


def test_only_times_of_the_period_count(world):
    run(world, 6, failing=(1,))
    assert counted(world, hours=1.5)["fading"] == (3, 3, 0)
    assert counted(world, hours=2.5)["fading"] == (5, 5, 0)
    assert counted(world, hours=3)["fading"] == (6, 5, 1)
    (own, *_) = world.service.schedule.counts(Period(FIRST + 2 * STEP, world.now))
    assert (own.expected, own.start) == (4, FIRST + 3 * STEP), "a period begins after its first time"
    before = Period(START - timedelta(days=1), START)
    assert world.service.schedule.counts(before) == []


def test_a_forecast_on_request_before_the_schedule_begins_is_none_of_it(world):
    world.put(*(rain(minutes) for minutes in range(0, 121, 30)))
    world.now = FIRST + timedelta(minutes=3)
    world.service.forecast_stored()
    for step in (2, 3):
        world.now = FIRST + STEP * step + timedelta(minutes=3)
        world.put(rain(120 + 30 * (step - 1)), rain(120 + 30 * step))
        world.service.forecast_stored(FIRST + STEP * step, scheduled=True)
    assert counted(world)["fading"] == (2, 2, 0)


def test_a_service_without_a_schedule_has_missed_nothing(world, window_frames):
    world.put(*window_frames)
    world.service.forecast_stored()
    world.now += timedelta(hours=6)
    assert counted(world) == {}


def test_models_by_name_with_both_baselines_or_none(world):
    run(world, 2)
    assert list(counted(world, model="fading")) == ["fading", "persistence", "extrapolation"]
    assert counted(world, model="another") == {}


def test_a_model_that_is_no_longer_scheduled_has_no_further_times(open_world):
    world = open_world()
    run(world, 3)
    world = open_world(Fading(name="next"))
    for step in (4, 6):
        world.now = FIRST + STEP * step + timedelta(minutes=3)
        world.put(rain(120 + 30 * step))
        if step == 6:
            world.put(rain(120 + 30 * 5))
        world.service.forecast_stored(FIRST + STEP * step, scheduled=True)
    assert counted(world) == {
        "fading": (4, 4, 0),
        "next": (3, 2, 1),
        "persistence": (7, 6, 1),
        "extrapolation": (7, 6, 1),
    }


def test_a_job_that_fails_and_one_that_is_refused_are_missed(open_world):
    world = open_world()
    run(world, 1)
    world.put(rain(180))
    world.now = FIRST + 2 * STEP + timedelta(minutes=21)
    with pytest.raises(NoDataError, match="s old"):
        world.service.forecast_stored(FIRST + 2 * STEP, scheduled=True)
    assert counted(world)["fading"] == (3, 2, 1)


def test_counts_outlive_the_forecasts(world):
    run(world, 4, failing=(2,))
    world.service.catalogue.forget([one.id for one in world.service.list(limit=100)])
    assert counted(world)["fading"] == (5, 4, 1)
    world.service.schedule.forget(FIRST + 3 * STEP)
    assert counted(world)["fading"] == (2, 2, 0)


def test_a_replay_counts_by_its_own_clock(open_world):
    world = open_world(source_kind="replay")
    world.now = START + timedelta(days=1000)
    world.put(*(rain(minutes) for minutes in range(0, 121, 30)))
    for step in (1, 3, 4):
        world.put(rain(120 + 30 * step))
        world.service.forecast_stored(scheduled=True)
    assert counted(world)["fading"] == (4, 3, 1)
