"""Handlers of Celery's signals in the worker and the beat: logs, warm-up, watchdog, time limits, metrics, spans.

Importing this module registers them, so that only `service.worker` does.
"""

import faulthandler
import inspect
import logging
import signal
import sys
from collections.abc import Mapping
from time import perf_counter, time
from types import FrameType
from typing import TYPE_CHECKING, Any, Final

from celery import Task
from celery.concurrency import solo
from celery.exceptions import SoftTimeLimitExceeded
from celery.signals import (
    after_task_publish,
    beat_init,
    celeryd_after_setup,
    setup_logging,
    task_postrun,
    task_prerun,
    task_revoked,
    worker_init,
    worker_ready,
)

from core.errors import ConfigError, UnavailableError
from core.logs import set_log_context, set_up_logs
from core.settings import get_settings
from ingest.store.database import open_engine
from ingest.store.progress import ProgressRecorder
from ingest.store.schema import check_before_start, prepare
from service.tasks.beat import OnceScheduler
from service.tasks.forecasts import service
from service.tasks.queue import CYCLE, HEADER, HEARTBEAT, MAKE_BASELINES, MAKE_MEMBERS, own_queue, queue
from service.tasks.watchdog import watch
from service.telemetry.metrics import QUEUE_SECONDS, TASK_SECONDS, TASKS
from service.telemetry.start import start_telemetry
from service.telemetry.traces import open_span

if TYPE_CHECKING:  # an optional package
    from service.telemetry.otlp import OpenSpan

FREQUENT: Final = (CYCLE, HEARTBEAT, MAKE_BASELINES, MAKE_MEMBERS)
"""Tasks that run every few seconds: logged only when they go wrong, and no span but those of their stages."""

OUTCOMES: Final = {"SUCCESS": "success", "FAILURE": "failure", "RETRY": "retry"}
TRACEPARENT: Final = "traceparent"
LOGGED_ARGUMENTS: Final = ("reference_time", "model", "giver")
STDERR: Final = 2

_started_at: dict[str, float] = {}
_spans: dict[str, "OpenSpan"] = {}


@setup_logging.connect
def set_up_logging(loglevel: int | str, **_: object) -> None:
    """Write log lines of our format in place of Celery's own."""
    part = "beat" if "beat" in sys.argv else "worker"
    set_up_logs(
        part, logging.getLevelName(loglevel) if isinstance(loglevel, int) else loglevel, get_settings().log_format
    )
    for handler in logging.getLogger().handlers:
        handler.addFilter(lambda record: record.levelno > logging.INFO or not _is_frequent(record))


def _is_frequent(record: logging.LogRecord) -> bool:
    text = record.getMessage()
    return any(name in text for name in FREQUENT)


@beat_init.connect
def record_sent_tasks(**_: object) -> None:
    """Record the progress of beat with each task that it has sent, or found sent by another beat."""
    settings = get_settings()
    settings.home.mkdir(parents=True, exist_ok=True)
    engine = open_engine(settings.catalogue_url)
    try:
        prepare(engine)
    except UnavailableError as err:
        logging.getLogger(__name__).warning("beat starts without the catalogue: %s", err)
    except ConfigError as err:
        raise SystemExit(f"cannot start: {err}") from err
    recorder = ProgressRecorder(engine, "beat", settings)
    after_task_publish.connect(lambda **_: recorder.record(), weak=False)
    OnceScheduler.left_to_another = staticmethod(recorder.record)


@worker_init.connect
def warm_up(**_: object) -> None:
    """Load the model before the first task is taken, so that loading does not count against its limit."""
    try:
        start_telemetry("worker", get_settings())
        check_before_start(get_settings().catalogue_url)
        service().setting_checks.check()
    except ConfigError as err:
        # Celery logs an exception of a handler and starts all the same; SystemExit ends the worker.
        raise SystemExit(f"cannot start: {err}") from err
    for model in (get_settings().model, "extrapolation"):
        service().predictor.warm(model)


@celeryd_after_setup.connect
def serve_own_queue(sender: str, instance: Any, **_: object) -> None:
    """Take the synthetic tasks of this worker's own watchdog."""
    instance.app.amqp.queues.select_add(own_queue(sender))


@worker_ready.connect
def start_watchdog(sender: Any, **_: object) -> None:
    """Start the thread that checks that this worker completes tasks."""
    watch(queue, sender.hostname, get_settings())


@celeryd_after_setup.connect
def keep_limits(instance: Any, **_: object) -> None:
    """Apply to the solo pool the time limits that Celery itself applies only to forked workers."""
    if issubclass(instance.pool_cls, solo.TaskPool):
        task_prerun.connect(start_limits)
        task_postrun.connect(end_limits)


def start_limits(task: Task[..., Any], **_: object) -> None:
    """Start the time limits of a task.

    At the soft limit the task gets `SoftTimeLimitExceeded`; at the hard one the process prints where it hangs and
    ends, even inside C code that holds the interpreter, and the supervisor of the worker starts another.
    """
    signal.signal(signal.SIGALRM, _raise_soft_limit)
    signal.setitimer(signal.ITIMER_REAL, task.app.conf.task_soft_time_limit)
    faulthandler.dump_traceback_later(task.app.conf.task_time_limit, exit=True, file=STDERR)


def end_limits(**_: object) -> None:
    """Remove the time limits of `start_limits`."""
    signal.setitimer(signal.ITIMER_REAL, 0)
    faulthandler.cancel_dump_traceback_later()


def _raise_soft_limit(_number: int, _frame: FrameType | None) -> None:
    raise SoftTimeLimitExceeded


@task_prerun.connect
def begin(task_id: str, task: Task[..., Any], args: Any, kwargs: Mapping[str, Any], **_: object) -> None:
    """Take over what the sender's header holds, and start the measurement of the run time."""
    sent = getattr(task.request, HEADER, None) or {}
    set_log_context(
        {**sent.get("about", {}), "task_id": task_id, "task": short(task.name), **_arguments(task, args, kwargs)}
    )
    sender = vars(task.request)
    if TRACEPARENT in sender or task.name not in FREQUENT:
        _begin_span(task_id, task, sender)
    _started_at[task_id] = perf_counter()
    if "sent_at" in sent:
        delivery = task.request.delivery_info or {}
        queue_name = str(delivery.get("routing_key") or "celery").split(".")[0]
        QUEUE_SECONDS.labels(queue_name).observe(max(0.0, time() - sent["sent_at"]))


def _begin_span(task_id: str, task: Task[..., Any], sender: Mapping[str, Any]) -> None:
    """Begin the span of a task, in the trace of the request or task that has sent it."""
    opened = open_span("consumer", short(task.name), sender)
    if opened is not None:
        _spans[task_id] = opened


@task_postrun.connect
def end(task_id: str, task: Task[..., Any], state: str | None = None, retval: object = None, **_: object) -> None:
    """Count the task, observe its run time, and end its span."""
    opened = _spans.pop(task_id, None)
    if opened is not None:
        if state == "FAILURE":
            opened.fail(type(retval).__name__)
        opened.close()
    started_at = _started_at.pop(task_id, None)
    if started_at is not None:
        TASK_SECONDS.labels(short(task.name)).observe(perf_counter() - started_at)
    TASKS.labels(short(task.name), OUTCOMES.get(state or "", "other")).inc()
    set_log_context({})


@task_revoked.connect
def count_expired(sender: Task[..., Any] | None = None, **_: object) -> None:
    """Count a task that expired before a worker took it, or that was cancelled."""
    TASKS.labels(short(getattr(sender, "name", None) or "unknown"), "expired").inc()


def short(name: str) -> str:
    """Return the task's name without its module."""
    return name.rsplit(".", 1)[-1]


def _arguments(task: Task[..., Any], args: Any, kwargs: Mapping[str, Any]) -> dict[str, str]:
    try:
        bound = inspect.signature(task.run).bind_partial(*args, **kwargs).arguments
    except TypeError:
        return {}
    return {name: str(bound[name]) for name in LOGGED_ARGUMENTS if bound.get(name) is not None}
