"""What each process counts while it works; `GET /metrics` sums it over all processes (see `metric_files`).

Every metric has a label, so that importing this module opens nothing. What can be looked up (ages, scores, lengths) is
not counted here but read for each response, in `service.api.metrics_collector`.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from time import perf_counter
from typing import Final

from prometheus_client import CollectorRegistry, Counter, Histogram

COUNTED: Final = CollectorRegistry()
"""Holds the counts of this process where they are not kept in files."""

_WORK_S: Final = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0)

INFERENCE_SECONDS: Final = Histogram(
    "nowcast_inference_seconds", "One call of a model", ["model", "version"], registry=COUNTED, buckets=_WORK_S
)
QUEUE_SECONDS: Final = Histogram(
    "nowcast_queue_seconds",
    "Time in the queue of the model (queue=inference) or of the worker (queue=name of the task queue)",
    ["queue"],
    registry=COUNTED,
    buckets=_WORK_S,
)
BATCH_SIZE: Final = Histogram(
    "nowcast_batch_size",
    "Forecasts in one call of a model",
    ["model"],
    registry=COUNTED,
    buckets=(1, 2, 3, 4, 6, 8, 12, 16, 32),
)
STAGE_SECONDS: Final = Histogram(
    "nowcast_stage_seconds",
    "One stage of an upload or a forecast (read, decode, window, regrid, extrapolation, write, ...)",
    ["stage"],
    registry=COUNTED,
    buckets=_WORK_S,
)
FALLBACKS: Final = Counter(
    "nowcast_fallbacks", "Forecasts produced by a fallback method", ["model", "method"], registry=COUNTED
)
REFUSED: Final = Counter(
    "nowcast_refused",
    "Refused requests and scheduled forecasts (queue_full, rate_limit, too_old, no_key, ...)",
    ["reason"],
    registry=COUNTED,
)
FRAMES_MISSING: Final = Counter(
    "nowcast_frames_missing",
    "Missing frames in the windows of forecasts from stored scans",
    ["product"],
    registry=COUNTED,
)
DELETED_FILES: Final = Counter(
    "nowcast_deleted_files", "Files of forecasts and exports that retention deleted", ["kind"], registry=COUNTED
)
DELETED_BYTES: Final = Counter(
    "nowcast_deleted_bytes", "Bytes that retention freed of forecasts and exports", ["kind"], registry=COUNTED
)
HTTP_REQUESTS: Final = Counter(
    "nowcast_http_requests", "Completed requests", ["method", "route", "status"], registry=COUNTED
)
HTTP_SECONDS: Final = Histogram(
    "nowcast_http_seconds", "Time to the end of a response", ["method", "route"], registry=COUNTED, buckets=_WORK_S
)
TASKS: Final = Counter(
    "nowcast_tasks", "Ended tasks by outcome: success, failure, retry, expired", ["task", "outcome"], registry=COUNTED
)
TASK_SECONDS: Final = Histogram(
    "nowcast_task_seconds", "Run time of a task", ["task"], registry=COUNTED, buckets=_WORK_S
)


@contextmanager
def timed(histogram: Histogram, *labels: str) -> Iterator[None]:
    """Observe how long a block takes, however it ends; for example with STAGE_SECONDS and the label decode."""
    began = perf_counter()
    try:
        yield
    finally:
        histogram.labels(*labels).observe(perf_counter() - began)
