"""`Prefer: respond-async` (RFC 7240) and /jobs: forecasts that the worker makes, to follow and to call off."""

from functools import lru_cache
from typing import Annotated, Final
from uuid import UUID

from celery.exceptions import CeleryError
from fastapi import APIRouter, Query, Request, Response
from kombu.exceptions import OperationalError
from redis import Redis
from redis.exceptions import RedisError
from sqlalchemy import Engine

from core.errors import PermissionDeniedError, UnavailableError
from core.settings import Settings
from service.api.access import CallerDep
from service.api.backend import Backend, BackendDep
from service.api.errors import documented
from service.api.paging import Cursor, Limit, next_link, place_of
from service.schemas.listings import JobOut, JobsOut
from service.tasks.jobbook import Job, JobBook, JobState
from service.tasks.queue import RUN_JOB, queue

router = APIRouter(prefix="/jobs", tags=["jobs"])

NO_QUEUE: Final = "not configured"
QUEUE_WAIT_S: Final = 1.0


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


def enqueue(reference_time: str | None, model: str, backend: Backend, owner: str | None = None) -> Job:
    """Give the forecast to the worker.

    Raises:
        UnavailableError: the broker does not answer.
    """
    _check_queue(backend.settings)
    jobs = _book(backend)
    job = jobs.add(reference_time, model, owner)
    try:
        queue.send_task(RUN_JOB, (job.id,), task_id=job.id, ignore_result=True)
    except (OperationalError, RedisError, CeleryError) as err:
        jobs.remove(job.id)
        raise UnavailableError(f"the queue does not take the job ({type(err).__name__})") from err
    return job


def accepted(job: Job) -> Response:
    """The 202 for a job."""
    headers = {"Location": f"/jobs/{job.id}", "Preference-Applied": "respond-async", "Retry-After": "1"}
    return Response(job_out(job).model_dump_json(), 202, headers, "application/json")


@router.get("", summary="Jobs, newest first", responses=documented(422))
def read_jobs(
    backend: BackendDep,
    request: Request,
    response: Response,
    status: Annotated[JobState | None, Query(description="only those; none is all")] = None,
    limit: Limit = 100,
    cursor: Cursor = None,
) -> JobsOut:
    """The jobs of the last day."""
    found = _book(backend).select(state=status, after=place_of(cursor), limit=limit + 1)
    last = found[limit - 1] if len(found) > limit else None
    link = next_link(request, response, (last.created_at, last.id) if last else None)
    return JobsOut(jobs=[job_out(job) for job in found[:limit]], next=link)


@router.get("/{job_id}", summary="A job of `Prefer: respond-async`", responses=documented(404, 422))
def read_job(job_id: UUID, backend: BackendDep) -> JobOut:
    """Waiting, running, done (with the forecast's link), failed or cancelled; told of for a day."""
    return job_out(_book(backend).get(str(job_id)))


@router.delete("/{job_id}", summary="Call a job off", responses=documented(401, 403, 404, 409, 422))
def cancel_job(job_id: UUID, backend: BackendDep, caller: CallerDep) -> JobOut:
    """One that waits is not begun; one that runs may still make its forecast, which nobody is told of."""
    jobs = _book(backend)
    owner = jobs.get(str(job_id)).owner
    if owner != (caller.key.id if caller.key else None) and not caller.allows("admin"):
        raise PermissionDeniedError(
            f"job {job_id} is another caller's; the key that asked for it was due, or one for admin"
        )
    return job_out(jobs.cancel(str(job_id)))


def job_out(job: Job) -> JobOut:
    """Return the document of a job, with links to it and to its forecast."""
    links = {"self": f"/jobs/{job.id}"}
    if job.forecast_id:
        links["forecast"] = f"/nowcast/{job.forecast_id}"
    detail = str(job.problem["detail"]) if job.problem else None
    return JobOut.of(job, job_id=job.id, status=job.state, detail=detail, links=links)


def _book(backend: Backend) -> JobBook:
    return _opened(backend.service.catalogue.engine)


@lru_cache(maxsize=1)
def _opened(engine: Engine) -> JobBook:
    return JobBook(engine)  # looks whether its table is there


def _check_queue(settings: Settings) -> None:
    """Ask once and quickly: Celery itself would try for twenty seconds.

    Raises:
        UnavailableError: it does not answer.
    """
    state = queue_state(settings)
    if state != "ok":
        raise UnavailableError(f"the queue gives {state}")
