"""The Celery app: names of queues and tasks, settings of the queue, the schedule.

Any process may import this module to send a task by its name; the bodies of the tasks and the handlers of a worker's
signals are registered by `service.worker` alone.
"""

from collections.abc import MutableMapping
from time import time
from typing import Any, Final

from celery import Celery
from celery.signals import before_task_publish
from kombu import Exchange, Queue

from core.logs import current_log_context
from core.settings import Settings, get_settings
from service.telemetry.traces import send_trace

ALERTS: Final = "alerts"
"""Rules and their messages, for processes of their own (`service.alerter`): no receiver keeps a forecast waiting."""

BEAT: Final = "beat"
"""Synthetic tasks for any worker; those for one worker alone are in `own_queue`."""

FORECASTS: Final = "celery"
"""Celery's own default, so that a task sent by name from any client arrives here."""

JOBS: Final = "jobs"
"""Forecasts that clients asked for: any number of them keeps no scheduled one waiting."""

VERIFICATION: Final = "verification"
QUEUES: Final = (BEAT, FORECASTS, JOBS, VERIFICATION)
"""A worker serves them in alphabetical order, so that no score keeps a forecast waiting."""

UNACKNOWLEDGED: Final = "unacked_index"
"""Where kombu's Redis transport keeps what workers have taken."""

# The names of tasks as they stand in queued messages. They are those of release 0.1.0, whatever module the body is in
# now: workers and clients of both releases serve one queue while an installation is upgraded part by part.
MAKE_FORECAST: Final = "service.tasks.make_forecast_task"
MAKE_BASELINES: Final = "service.tasks.make_baselines_task"
MAKE_MEMBERS: Final = "service.tasks.make_members_task"
CYCLE: Final = "service.tasks.cycle_task"
VERIFY: Final = "service.tasks.verify_task"
SWEEP: Final = "service.tasks.sweep_task"
HEARTBEAT: Final = "service.tasks.heartbeat_task"
RUN_JOB: Final = "service.jobs.job_tasks.run_job_task"
FIND_LOST_JOBS: Final = "service.jobs.job_tasks.find_lost_jobs_task"
EVALUATE_RULES: Final = "service.tasks.evaluate_rules_task"
DELIVER_ALERTS: Final = "service.tasks.deliver_alerts_task"
CLEAR_ALERTS: Final = "service.tasks.clear_alerts_task"
TASK_NAMES: Final = (
    *(MAKE_FORECAST, MAKE_BASELINES, MAKE_MEMBERS, CYCLE, VERIFY, SWEEP, HEARTBEAT),
    *(RUN_JOB, FIND_LOST_JOBS),
)
ALERT_TASKS: Final = (EVALUATE_RULES, DELIVER_ALERTS, CLEAR_ALERTS)
"""Tasks of `service.alerter`."""


ROUTES: Final = {
    **{task: {"queue": VERIFICATION} for task in (MAKE_BASELINES, MAKE_MEMBERS, VERIFY, SWEEP)},
    **{task: {"queue": ALERTS} for task in ALERT_TASKS},
    HEARTBEAT: {"queue": BEAT},
    RUN_JOB: {"queue": JOBS},
}
HEADER: Final = "nowcast"
"""Header of a message with what its sender knew: what it is about, and when it was sent."""

LOCAL_REDIS_URL: Final = "redis://127.0.0.1:6379/0"
SOFT_BEFORE_HARD_S: Final = 10.0
REDELIVERY_AFTER_LIMIT_S: Final = 15.0
MODEL_SHARE: Final = 0.6
"""Share of a task's time after which a model is given up: extrapolation takes less than half as long."""

SWEEP_S: Final = 600.0
SCHEDULE: Final = "schedule"
"""Sender of the synthetic tasks of the schedule."""


def own_queue(worker_name: str) -> str:
    """Return the queue of synthetic tasks that one worker alone serves."""
    return f"{BEAT}.{worker_name}"


def broker_url(settings: Settings) -> str:
    """Return the queue's address: `NOWCAST_REDIS_URL`, which `service.run` sets, else a server on this machine."""
    return settings.redis_url.get_secret_value() if settings.redis_url else LOCAL_REDIS_URL


def configuration() -> dict[str, Any]:
    """Return Celery's configuration; it is read when the app is first used and not when it is imported."""
    return queue_settings(get_settings()) | task_settings(get_settings()) | {"beat_schedule": schedule(get_settings())}


def queue_settings(settings: Settings) -> dict[str, Any]:
    """Return the settings of Redis as the queue: small JSON messages, results kept for an hour, nothing lost.

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
        "task_routes": ROUTES,
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
    """Return how tasks run: one at a time in a process that forks nothing, so a GPU may be used (decision 0003)."""
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


def model_limit_s(settings: Settings) -> float:
    """Return how long a model may take within a task, so that a baseline can still be made as its fallback."""
    return MODEL_SHARE * max(0.0, settings.task_limit_s - SOFT_BEFORE_HARD_S)


def verify_every_s(settings: Settings) -> float:
    """Return the time between two verifications of the schedule."""
    return 6 * settings.cycle_s


def schedule(settings: Settings) -> dict[str, Any]:
    """Return what beat sends, and how often; a task that no worker has taken when the next is sent expires."""
    verify_s = verify_every_s(settings)
    return {
        "forecast new scans": _every(settings.cycle_s, CYCLE),
        "make the baselines of the newest forecasts": _every(2 * settings.cycle_s, MAKE_BASELINES),
        "make the members of the newest forecast": _every(2 * settings.cycle_s, MAKE_MEMBERS),
        "score what was observed since": _every(verify_s, VERIFY),
        "delete what is too old or too much": _every(SWEEP_S, SWEEP),
        "evaluate the rules with new forecasts": _every(settings.cycle_s, EVALUATE_RULES),
        "deliver alerts": _every(settings.cycle_s, DELIVER_ALERTS),
        "delete old alerts": _every(SWEEP_S, CLEAR_ALERTS),
        "find lost jobs": _every(verify_s, FIND_LOST_JOBS),
        "prove that tasks are completed": _every(settings.heartbeat_s, HEARTBEAT, SCHEDULE),
    }


def _every(interval_s: float, task: str, *arguments: str) -> dict[str, Any]:
    options = {"expires": interval_s, "ignore_result": True}
    return {"task": task, "schedule": interval_s, "args": arguments, "options": options}


queue: Final = Celery("nowcast")
queue.add_defaults(configuration)


@before_task_publish.connect
def add_origin(headers: MutableMapping[str, Any], **_: object) -> None:
    """Send along what the task is about, for the log lines of the worker, the time, for the metrics, and the trace."""
    headers[HEADER] = {"about": current_log_context(), "sent_at": time()}
    send_trace(headers)


def is_first(name: str, within_s: int) -> bool:
    """Return whether no other process has called this with `name` within that many seconds."""
    client: Any = getattr(queue.backend, "client")  # noqa: B009 - celery-types knows no backend's own client
    return bool(client.set(f"nowcast-first:{name}", 1, nx=True, ex=within_s))
