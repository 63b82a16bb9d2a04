"""Limits and settings in the worker: a task over its limit makes a fallback, and a bad setting is reported."""

import logging
from collections.abc import Callable
from datetime import UTC, datetime, timedelta

import pytest

import service.tasks.forecasts as tasks
import service.tasks.jobs as job_tasks
import service.tasks.signals as signals
from core.settings import Settings
from ingest.store.progress import LastWork, ProgressRecorder
from service.forecasts.schedule import ScheduledTime
from service.inference.request_scope import current_scope
from service.tasks.jobbook import JobBook
from service.tasks.liveness import PARTS, lateness, limit_s, silence_s
from service.tasks.queue import FORECASTS, MAKE_BASELINES, MAKE_FORECAST, VERIFY, model_limit_s, schedule
from tests.service.conftest import Fading, World


@pytest.fixture
def in_worker(open_world: Callable[..., World], monkeypatch: pytest.MonkeyPatch) -> Callable[..., World]:
    """Opens a live store as the one of the worker."""

    def opened(model: Fading | None = None, **settings: object) -> World:
        world = open_world(model, **settings)
        monkeypatch.setattr(tasks, "STARTED_AT", datetime.now(UTC))  # no verification is overdue
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
    monkeypatch.setattr(signals, "start_telemetry", lambda part, settings: None)
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


@pytest.mark.parametrize(
    ("age_s", "cycle_s", "expected"), [(140, 5, False), (160, 5, True), (160, 60, False), (1100, 60, True)]
)
def test_an_overdue_verification_goes_before_the_next_forecast(in_worker, monkeypatch, age_s, cycle_s, expected):
    world = in_worker(cycle_s=cycle_s)
    recorder = ProgressRecorder(
        world.service.catalogue.engine,
        "verification",
        world.service.settings,
        clock=lambda: datetime.now(UTC) - timedelta(seconds=age_s),
    )
    recorder.record()
    sent: list[tuple[str, str]] = []
    for task in (tasks.make_baselines_task, tasks.verify_task, tasks.make_forecast_task):
        monkeypatch.setattr(
            task, "apply_async", lambda *_, name=task.name, queue=None, **options: sent.append((name, queue))
        )

    times: list[ScheduledTime] = []
    monkeypatch.setattr(tasks.service().schedule, "queued", lambda: times)
    tasks.cycle_task()
    assert sent == [], "a worker without a forecast to make reaches the queue of verification"
    for minutes in (0, 5):
        times.append(ScheduledTime(datetime(2024, 7, 1, 12, minutes, tzinfo=UTC), "default", 0))
        tasks.cycle_task()
    first = [(MAKE_BASELINES, FORECASTS), (VERIFY, FORECASTS)] if expected else []
    assert sent == [*first, (MAKE_FORECAST, None), (MAKE_FORECAST, None)], "once, and before the forecasts"


def test_limits_of_the_parts_follow_the_cycle():
    usual = Settings()
    assert [limit_s(part, usual) for part in PARTS] == [180, 180, 300, 600]
    slow = Settings(cycle_s=300, heartbeat_s=200)
    every = schedule(slow)
    assert limit_s("worker", slow) >= 2 * every["forecast new scans"]["schedule"] + slow.task_limit_s
    assert limit_s("verification", slow) >= 2 * every["score what was observed since"]["schedule"] + slow.task_limit_s
    assert limit_s("beat", slow) == silence_s("beat", slow) == 400
    assert limit_s("ingest", slow) == silence_s("ingest", slow) == 180
    late = datetime.now(UTC)
    done = {"verification": LastWork(late - timedelta(seconds=3700), late - timedelta(seconds=3700))}
    assert lateness("verification", slow, done, late, late) == "ok", "two were missed at most"
    assert lateness("verification", usual, done, late, late) != "ok"
