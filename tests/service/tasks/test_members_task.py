"""The task of ensemble members: of the newest forecast alone, once, after it is visible."""

from collections.abc import Callable

import numpy as np
import pytest

import service.tasks.forecasts as tasks
from service.forecasts.members import members_path
from service.tasks.queue import MAKE_MEMBERS, VERIFICATION, queue_settings, schedule
from tests.service.api_support import chance_of
from tests.service.conftest import Fading, World

RATES_MMH = (0.1, 0.5, 5.0)


@pytest.fixture
def world(open_world: Callable[..., World], monkeypatch: pytest.MonkeyPatch) -> World:
    world = open_world(
        Fading(
            thresholds_mmh=RATES_MMH,
            chances=lambda rate_LHW: np.stack([chance_of(rate_LHW, mmh) for mmh in RATES_MMH]),
        ),
        members=4,
    )
    known: set[str] = set()
    monkeypatch.setattr(tasks, "service", lambda: world.service)
    monkeypatch.setattr(tasks, "get_settings", lambda: world.service.settings)
    monkeypatch.setattr(tasks, "is_first", lambda name, within_s: not (name in known or known.add(name)))  # type: ignore[func-returns-value]
    return world


def test_members_are_those_of_the_newest_forecast_and_made_once(world: World, window_frames, later_frames):
    assert tasks.make_members_task() is None, "no forecast yet"
    world.put(*window_frames)
    first = world.service.forecast_stored(with_baselines=False)
    world.put(*later_frames[:1])
    newest = world.service.forecast_stored(with_baselines=False)
    assert newest.reference_time > first.reference_time
    assert [tasks.make_members_task() for _ in range(2)] == [newest.id, None]
    assert members_path(newest).is_file()
    assert not members_path(first).is_file()


def test_the_baselines_of_a_forecast_are_claimed_once_by_whichever_task(world: World, window_frames):
    world.put(*window_frames)
    forecast = world.service.forecast_stored(with_baselines=False)
    assert tasks.claim_baselines(forecast), "by a verification"
    assert tasks.make_baselines_task() is None
    world.service.baselines.compute(forecast)
    others = [one for one in world.service.list() if one.id != forecast.id]
    assert len(others) == 2
    assert not any(tasks.claim_baselines(one) for one in others), "one of them stands for the window from then on"


def test_a_failed_run_is_begun_again_later(world: World, window_frames, monkeypatch: pytest.MonkeyPatch):
    world.put(*window_frames)
    forecast = world.service.forecast_stored(with_baselines=False)

    def full(forecast, members):
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as broken:
        broken.setattr(tasks, "make_members", full)
        with pytest.raises(Exception, match="No space left"):
            tasks.make_members_task()
    assert tasks.make_members_task() is None, "it was begun a moment ago"
    monkeypatch.setattr(tasks, "is_first", lambda name, within_s: True)
    assert tasks.make_members_task() == forecast.id


def test_no_members_by_setting(open_world, window_frames, monkeypatch):
    world = open_world(Fading(thresholds_mmh=(0.1,), chances=lambda rate: chance_of(rate, 0.1)[None]), members=0)
    monkeypatch.setattr(tasks, "service", lambda: world.service)
    monkeypatch.setattr(tasks, "get_settings", lambda: world.service.settings)
    world.put(*window_frames)
    forecast = world.service.forecast_stored(with_baselines=False)
    assert tasks.make_members_task() is None
    assert not members_path(forecast).is_file()


def test_forecasts_go_first(world: World):
    settings = world.service.settings
    assert queue_settings(settings)["task_routes"][MAKE_MEMBERS] == {"queue": VERIFICATION}
    sent = [one for one in schedule(settings).values() if one["task"] == MAKE_MEMBERS]
    assert len(sent) == 1
    assert sent[0]["options"]["expires"] <= sent[0]["schedule"]
