"""`Prefer: respond-async` (RFC 7240) and GET /jobs/{id}: forecasts that the worker makes."""

from typing import Final, Literal
from uuid import UUID, uuid4

from celery.exceptions import CeleryError
from celery.result import AsyncResult
from fastapi import APIRouter, Request, Response
from kombu.exceptions import OperationalError
from redis import Redis
from redis.exceptions import RedisError

from core.errors import NoDataError, UnavailableError
from core.settings import Settings
from service.api.backend import BackendDep
from service.api.errors import documented
from service.api.listings import JobOut
from service.tasks import make_forecast_task
from service.worker import worker

router = APIRouter(prefix="/jobs", tags=["forecasts"])

JobStatus = Literal["waiting", "running", "done", "failed"]

ENQUEUED: Final = "ENQUEUED"
"""Our own mark in the result backend, so that a job of ours that waits differs from an id that nobody gave out."""

NO_QUEUE: Final = "not configured"
QUEUE_WAIT_S: Final = 1.0

STATUS_OF: Final[dict[str, JobStatus]] = {
    ENQUEUED: "waiting",
    "RECEIVED": "waiting",
    "RETRY": "waiting",
    "STARTED": "running",
    "SUCCESS": "done",
    "FAILURE": "failed",
    "REVOKED": "failed",
}


def is_preferred(request: Request) -> bool:
    """Whether the client would rather not wait."""
    preferences = ",".join(request.headers.getlist("prefer"))
    return "respond-async" in {each.split(";")[0].strip().lower() for each in preferences.split(",")}


def is_possible(settings: Settings) -> bool:
    """Whether there is a queue."""
    return settings.redis_url is not None


def queue_state(settings: Settings) -> str:
    """`ok`, `NO_QUEUE`, or what is wrong, within two seconds; the address, which holds a password, is not told."""
    if settings.redis_url is None:
        return NO_QUEUE
    url = settings.redis_url.get_secret_value()
    try:
        with Redis.from_url(url, socket_connect_timeout=QUEUE_WAIT_S, socket_timeout=QUEUE_WAIT_S) as client:
            client.ping()
    except (RedisError, ValueError) as err:
        return f"no answer: {type(err).__name__}"
    return "ok"


def enqueue(reference_time: str | None, model: str, settings: Settings) -> str:
    """Give the forecast to the worker; the job's id.

    Raises:
        UnavailableError: the broker does not answer.
    """
    _check_queue(settings)
    job_id = str(uuid4())
    try:
        worker.backend.store_result(job_id, None, ENQUEUED)
        make_forecast_task.apply_async((reference_time, model), task_id=job_id)
    except (OperationalError, RedisError, CeleryError) as err:
        raise UnavailableError(f"the queue does not take the job ({type(err).__name__})") from err
    return job_id


def accepted(job_id: str) -> Response:
    """The 202 for a job."""
    job = JobOut(job_id=job_id, status="waiting", links={"self": f"/jobs/{job_id}"})
    headers = {"Location": f"/jobs/{job_id}", "Preference-Applied": "respond-async", "Retry-After": "1"}
    return Response(job.model_dump_json(), 202, headers, "application/json")


@router.get("/{job_id}", summary="A job of `Prefer: respond-async`", responses=documented(404, 422))
def read_job(job_id: UUID, backend: BackendDep) -> JobOut:
    """Waiting, running, done (with the forecast's link) or failed; kept for an hour after its end."""
    if not is_possible(backend.settings):
        raise NoDataError(f"job {job_id} came; this service has no queue and so no jobs")
    _check_queue(backend.settings)
    result: AsyncResult[str] = worker.AsyncResult(str(job_id))
    try:
        state, value = result.state, result.result
    except (OperationalError, RedisError) as err:
        raise UnavailableError(f"the queue does not answer ({type(err).__name__})") from err
    if state not in STATUS_OF:
        raise NoDataError(f"no job {job_id}; the id of a job of the last hour was due")
    links = {"self": f"/jobs/{job_id}"}
    status = STATUS_OF[state]
    if status == "done":
        links["forecast"] = f"/nowcast/{value}"
        return JobOut(job_id=str(job_id), status=status, forecast_id=UUID(str(value)), links=links)
    return JobOut(job_id=str(job_id), status=status, detail=str(value) if status == "failed" else None, links=links)


def _check_queue(settings: Settings) -> None:
    """Ask once and quickly: Celery itself would try for twenty seconds.

    Raises:
        UnavailableError: it does not answer.
    """
    state = queue_state(settings)
    if state != "ok":
        raise UnavailableError(f"the queue gives {state}")
