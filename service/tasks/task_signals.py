"""What is the same for every task: what its log lines are about, how long it waited and ran, and how it ended."""

import inspect
from collections.abc import Mapping, MutableMapping
from time import perf_counter, time
from typing import Any, Final

from celery import Task
from celery.signals import before_task_publish, task_postrun, task_prerun, task_revoked

from core.logs import now_about, tell_only
from service.telemetry.metrics import QUEUE_SECONDS, TASK_SECONDS, TASKS

HEADER: Final = "nowcast"
OUTCOMES: Final = {"SUCCESS": "success", "FAILURE": "failure", "RETRY": "retry"}
TOLD: Final = ("reference_time", "model", "giver")
"""Arguments of tasks that log lines name."""

_began: dict[str, float] = {}


@before_task_publish.connect
def send_along(headers: MutableMapping[str, Any], **_: object) -> None:
    """Tell the worker on whose behalf the task is, and when it was given out."""
    headers[HEADER] = {"about": now_about(), "sent_at": time()}


@task_prerun.connect
def begin(task_id: str, task: Task[..., Any], args: Any, kwargs: Mapping[str, Any], **_: object) -> None:
    """Take over what was sent along."""
    sent = getattr(task.request, HEADER, None) or {}
    tell_only({**sent.get("about", {}), "task_id": task_id, "task": short(task.name), **_arguments(task, args, kwargs)})
    _began[task_id] = perf_counter()
    if "sent_at" in sent:
        delivery = task.request.delivery_info or {}
        queue = str(delivery.get("routing_key") or "celery").split(".")[0]
        QUEUE_SECONDS.labels(queue).observe(max(0.0, time() - sent["sent_at"]))


@task_postrun.connect
def end(task_id: str, task: Task[..., Any], state: str | None = None, **_: object) -> None:
    """Count it."""
    began = _began.pop(task_id, None)
    if began is not None:
        TASK_SECONDS.labels(short(task.name)).observe(perf_counter() - began)
    TASKS.labels(short(task.name), OUTCOMES.get(state or "", "other")).inc()
    tell_only({})


@task_revoked.connect
def dropped(sender: Task[..., Any] | None = None, **_: object) -> None:
    """A task that nobody took before it expired, or that was cancelled."""
    TASKS.labels(short(getattr(sender, "name", None) or "unknown"), "expired").inc()


def short(name: str) -> str:
    """The task's name without its module."""
    return name.rsplit(".", 1)[-1]


def _arguments(task: Task[..., Any], args: Any, kwargs: Mapping[str, Any]) -> dict[str, str]:
    try:
        bound = inspect.signature(task.run).bind_partial(*args, **kwargs).arguments
    except TypeError:
        return {}
    return {name: str(bound[name]) for name in TOLD if bound.get(name) is not None}
