"""The Celery app: `celery -A service.worker worker` does the tasks, `celery -A service.worker beat` gives them out."""

import faulthandler
import logging
import signal
import sys
from functools import partial
from types import FrameType
from typing import Any, Final

from celery import Celery, Task
from celery.concurrency import solo
from celery.exceptions import SoftTimeLimitExceeded
from celery.signals import (
    celeryd_after_setup,
    setup_logging,
    task_postrun,
    task_prerun,
    worker_init,
    worker_ready,
    worker_shutting_down,
)
from kombu import Exchange, Queue

from core.logs import set_up_logs
from core.settings import Settings, get_settings
from service.tasks.heartbeat import SCHEDULE, late_after_s
from service.tasks.queues import BEAT, QUEUES, VERIFICATION, own_queue
from service.tasks.watchdog import TASK as HEARTBEAT
from service.tasks.watchdog import Watchdog, give_heartbeat
from service.telemetry.metric_files import keep_in_files

LOCAL_REDIS_URL: Final = "redis://127.0.0.1:6379/0"
SOFT_BEFORE_HARD_S: Final = 10.0
REDELIVERY_AFTER_LIMIT_S: Final = 15.0
LOOK: Final = "service.tasks.forecasts.cycle_task"
VERIFY: Final = "service.tasks.forecasts.verify_task"
SWEEP: Final = "service.tasks.forecasts.sweep_task"
SWEEP_S: Final = 600.0
QUIET: Final = (LOOK, HEARTBEAT)
"""Tasks that come all the time, and are told of only when they go wrong."""
STDERR: Final = 2


def broker_url(settings: Settings) -> str:
    """Where the queue is: `NOWCAST_REDIS_URL`, which `service.run` sets to its embedded server, else this machine's."""
    return settings.redis_url.get_secret_value() if settings.redis_url else LOCAL_REDIS_URL


def configuration() -> dict[str, Any]:
    """Celery's configuration, read when the app is first used and not when it is imported."""
    return queue_settings(get_settings()) | task_settings(get_settings()) | {"beat_schedule": schedule(get_settings())}


def queue_settings(settings: Settings) -> dict[str, Any]:
    """Redis as the queue: small JSON messages, answers kept for an hour, nothing lost with a worker.

    A task is acknowledged when it is done. What a lost worker had taken comes back after `visibility_timeout`, which is
    longer than any task may run (or else a slow task would run twice) and shorter than a radar cycle of five minutes.
    """
    transport = {
        "visibility_timeout": settings.task_limit_s + REDELIVERY_AFTER_LIMIT_S,
        "unacked_restore_interval": 5,
        "unacked_restore_throttle": 1,
        "unacked_mutex_expire": 10,
        "socket_connect_timeout": 5,
        "socket_keepalive": True,
        "queue_order_strategy": "sorted",
    }
    return {
        "broker_url": broker_url(settings),
        "result_backend": broker_url(settings),
        "broker_transport_options": transport,
        "result_backend_transport_options": {
            "socket_connect_timeout": 5,
            "visibility_timeout": transport["visibility_timeout"],
        },
        "task_queues": tuple(Queue(name, Exchange(name), routing_key=name) for name in QUEUES),
        "task_routes": {VERIFY: {"queue": VERIFICATION}, SWEEP: {"queue": VERIFICATION}, HEARTBEAT: {"queue": BEAT}},
        "broker_connection_retry_on_startup": True,
        "broker_connection_max_retries": None,
        "task_serializer": "json",
        "result_serializer": "json",
        "accept_content": ["json"],
        "result_expires": 3600,
        "task_publish_retry_policy": {"max_retries": 2, "interval_start": 0.1, "interval_step": 0.4},
        "timezone": "UTC",
    }


def task_settings(settings: Settings) -> dict[str, Any]:
    """One task at a time in one process: the default pool forks nothing, so a GPU may be used (see docs/decisions)."""
    return {
        "worker_pool": "solo",
        "worker_prefetch_multiplier": 1,
        "task_acks_late": True,
        "task_track_started": True,
        "task_reject_on_worker_lost": True,
        "task_soft_time_limit": settings.task_limit_s - SOFT_BEFORE_HARD_S,
        "task_time_limit": settings.task_limit_s,
        "worker_send_task_events": False,
        "worker_cancel_long_running_tasks_on_connection_loss": False,
        "worker_hijack_root_logger": True,
        "beat_scheduler": "service.tasks.beat:OnceScheduler",
        "beat_max_loop_interval": settings.cycle_s,
    }


def schedule(settings: Settings) -> dict[str, Any]:
    """What beat gives out; a task that nobody took before the next one is due expires, so that none pile up."""
    verify_s = 6 * settings.cycle_s
    return {
        "forecast new scans": {
            "task": LOOK,
            "schedule": settings.cycle_s,
            "options": {"expires": settings.cycle_s, "ignore_result": True},
        },
        "score what was observed since": {
            "task": VERIFY,
            "schedule": verify_s,
            "options": {"expires": verify_s, "ignore_result": True},
        },
        "delete what is too old or too much": {
            "task": SWEEP,
            "schedule": SWEEP_S,
            "options": {"expires": SWEEP_S, "ignore_result": True},
        },
        "find lost jobs": {
            "task": "service.tasks.job_tasks.find_lost_jobs_task",
            "schedule": verify_s,
            "options": {"expires": verify_s, "ignore_result": True},
        },
        "prove that tasks are completed": {
            "task": HEARTBEAT,
            "schedule": settings.heartbeat_s,
            "args": (SCHEDULE,),
            "options": {"expires": settings.heartbeat_s, "ignore_result": True},
        },
    }


worker = Celery("nowcast", include=["service.tasks.forecasts", "service.tasks.job_tasks"])
worker.add_defaults(configuration)


@celeryd_after_setup.connect
def serve_own_queue(sender: str, instance: Any, **_: object) -> None:
    """Take the synthetic tasks of this worker's own watchdog."""
    instance.app.amqp.queues.select_add(own_queue(sender))


@worker_ready.connect
def watch(sender: Any, **_: object) -> None:
    """Let a thread see to it that this worker completes tasks."""
    settings, name = get_settings(), sender.hostname
    give = partial(give_heartbeat, worker, name, own_queue(name), settings.heartbeat_s)
    watchdog = Watchdog(give, settings.heartbeat_s, late_after_s(settings))
    task_postrun.connect(watchdog.completed, weak=False)
    worker_shutting_down.connect(lambda **_: watchdog.stop(), weak=False)
    watchdog.start()


@celeryd_after_setup.connect
def keep_limits(instance: Any, **_: object) -> None:
    """Give the solo pool the time limits that Celery itself keeps only for forked workers."""
    if issubclass(instance.pool_cls, solo.TaskPool):
        task_prerun.connect(start_limits)
        task_postrun.connect(end_limits)


def start_limits(task: Task[..., Any], **_: object) -> None:
    """Let the clock run against the task that starts.

    At the soft limit the task gets `SoftTimeLimitExceeded`; at the hard one the process prints where it hangs and
    ends, even inside C code that holds the interpreter, and whoever watches the worker starts another.
    """
    signal.signal(signal.SIGALRM, _over_the_soft_limit)
    signal.setitimer(signal.ITIMER_REAL, task.app.conf.task_soft_time_limit)
    faulthandler.dump_traceback_later(task.app.conf.task_time_limit, exit=True, file=STDERR)


def end_limits(**_: object) -> None:
    """Take the limits of `start_limits` off again."""
    signal.setitimer(signal.ITIMER_REAL, 0)
    faulthandler.cancel_dump_traceback_later()


def _over_the_soft_limit(_number: int, _frame: FrameType | None) -> None:
    raise SoftTimeLimitExceeded


@setup_logging.connect
def log_as_the_settings_say(loglevel: int | str, **_: object) -> None:
    """Our lines instead of Celery's own; what comes every few seconds is told only when it goes wrong."""
    part = "beat" if "beat" in sys.argv else "worker"
    set_up_logs(
        part, logging.getLevelName(loglevel) if isinstance(loglevel, int) else loglevel, get_settings().log_format
    )
    for handler in logging.getLogger().handlers:
        handler.addFilter(lambda record: record.levelno > logging.INFO or not _is_quiet(record))


def _is_quiet(record: logging.LogRecord) -> bool:
    text = record.getMessage()
    return any(name in text for name in QUIET)


@worker_init.connect
def warm_up(**_: object) -> None:
    """Load the model before the first task is taken, so that loading does not count against its limit."""
    from service.tasks.forecasts import service

    keep_in_files(get_settings().home)
    for model in (get_settings().model, "extrapolation"):
        service().predictor.warm(model)


def is_first(name: str, within_s: int) -> bool:
    """True for the first caller of all processes that asks for `name` within that many seconds."""
    client: Any = getattr(worker.backend, "client")  # noqa: B009 - celery-types knows no backend's own client
    return bool(client.set(f"nowcast-first:{name}", 1, nx=True, ex=within_s))
