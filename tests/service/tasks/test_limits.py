"""Limits and settings in the worker: a task over its limit makes a fallback, and a bad setting is reported."""

import logging
from collections.abc import Callable

import pytest

import service.tasks.forecasts as tasks
import service.tasks.jobs as job_tasks
import service.tasks.signals as signals
from core.settings import Settings
from service.inference.request_scope import current_scope
from service.tasks.jobbook import JobBook
from service.tasks.queue import model_limit_s
from tests.service.conftest import Fading, World


@pytest.fixture
def in_worker(open_world: Callable[..., World], monkeypatch: pytest.MonkeyPatch) -> Callable[..., World]:
    """Opens a live store as the one of the worker."""

    def opened(model: Fading | None = None, **settings: object) -> World:
        world = open_world(model, **settings)
        known: set[str] = set()
        for module in (tasks, signals):
            monkeypatch.setattr(module, "service", lambda: world.service)
            monkeypatch.setattr(module, "get_settings", lambda: world.service.settings)
        monkeypatch.setattr(tasks, "is_first", lambda name, within_s: not (name in known or known.add(name)))  # type: ignore[func-returns-value]
        return world

    return opened


def test_a_model_has_three_fifths_of_the_time_of_a_task():
    assert model_limit_s(Settings(task_limit_s=110)) == pytest.approx(60)


@pytest.mark.parametrize("as_job", [False, True])
def test_a_task_over_its_limit_makes_an_extrapolation(in_worker, window_frames, monkeypatch, as_job):
    world = in_worker()
    world.put(*window_frames)
    for module in (tasks, job_tasks):
        monkeypatch.setattr(module, "model_limit_s", lambda settings: 0.0)
    if as_job:
        book = JobBook(world.service.catalogue.engine)
        job = book.add(None, "default")
        job_tasks.run_job(world.service, book, job.id)
        forecast = world.service.latest()
    else:
        forecast = world.service.get(tasks.make_forecast_task(None, "default"))
    assert (forecast.method, forecast.status) == ("extrapolation", "degraded")
    assert "NOWCAST_TASK_LIMIT_S" in forecast.notes[0]
    assert current_scope().model_until is None


def test_an_unknown_model_ends_the_worker_with_the_reason(in_worker, monkeypatch):
    world = in_worker()
    monkeypatch.setattr(signals, "keep_in_files", lambda home: None)
    world.service.setting_checks._settings = Settings(home=world.home, model="nonesuch")
    with pytest.raises(SystemExit, match="cannot start: NOWCAST_MODEL: unknown model 'nonesuch'"):
        signals.warm_up()


def test_a_setting_that_the_scans_do_not_allow_is_logged_once(in_worker, rain, monkeypatch, caplog):
    class AnyScale(Fading):
        any_scale = True

    world = in_worker(AnyScale(), lead_step_minutes=20)
    monkeypatch.setattr(tasks, "_queue_forecast", lambda one: False)
    caplog.set_level(logging.ERROR)
    tasks.cycle_task()
    assert caplog.text == "", "not known before the first scans"
    world.put(*(rain(minutes) for minutes in range(0, 121, 15)))
    tasks.cycle_task()
    tasks.cycle_task()
    assert caplog.text.count("NOWCAST_LEAD_STEP_MINUTES: expected a multiple of the window's cadence of 15") == 1
