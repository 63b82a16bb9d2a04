"""Asynchronous forecasts: `Prefer: respond-async` (RFC 7240), and /jobs to follow and cancel them."""

from functools import lru_cache
from shutil import disk_usage
from typing import Annotated, Final
from uuid import UUID

from celery.exceptions import CeleryError
from fastapi import APIRouter, Query, Request, Response
from kombu.exceptions import OperationalError
from redis import Redis
from redis.exceptions import RedisError
from sqlalchemy import Engine

from core.errors import BusyError, PermissionDeniedError, UnavailableError
from core.settings import Settings
from service.api.access import CallerDep
from service.api.backend import Backend, BackendDep
from service.api.csv_tables import TableRoute, as_table
from service.api.errors import documented
from service.api.paging import Cursor, Limit, next_link, position_of
from service.api.proxies import public_prefix
from service.forecasts.uploads import KeptUploads, Upload
from service.schemas.listings import JobOut, JobsOut
from service.tasks.jobbook import UPLOADED, Job, JobBook, JobState
from service.tasks.queue import RUN_JOB, queue
from service.telemetry.metrics import REFUSED

router = APIRouter(prefix="/jobs", tags=["jobs"], route_class=TableRoute)

NO_QUEUE: Final = "not configured"
QUEUE_WAIT_S: Final = 1.0
MOST_WAITING: Final = 200
"""Waiting jobs of all callers; further ones are refused until some are done."""

MOST_OF_ONE: Final = 100
"""Of them those of one API key, or of all callers without one: no client takes the places of all others."""

MOST_UPLOADS: Final = 20
"""Uploads that wait for a worker, on the disk or in the store of files."""


def is_preferred(request: Request) -> bool:
    """Return whether the client prefers an asynchronous response."""
    preferences = ",".join(request.headers.getlist("prefer"))
    return "respond-async" in {each.split(";")[0].strip().lower() for each in preferences.split(",")}


def is_possible(settings: Settings) -> bool:
    """Return whether a task queue is configured."""
    return settings.redis_url is not None


def queue_state(settings: Settings) -> str:
    """Return `ok`, `NO_QUEUE`, or the error, within two seconds; the URL is left out since it holds a password."""
    if settings.redis_url is None:
        return NO_QUEUE
    url = settings.redis_url.get_secret_value()
    try:
        with Redis.from_url(url, socket_connect_timeout=QUEUE_WAIT_S, socket_timeout=QUEUE_WAIT_S) as client:
            client.ping()
    except (RedisError, ValueError) as err:
        return f"no response: {type(err).__name__}"
    return "ok"


def enqueue(wanted: Upload | str | None, model: str, backend: Backend, owner: str | None = None) -> Job:
    """Queue a forecast for the worker, and return its job.

    Args:
        wanted: an upload, or the reference time of stored scans (ISO 8601; None: the newest).
        model: as requested.
        backend: of the request.
        owner: id of the API key of the request.

    Raises:
        BusyError: too many jobs wait.
        UnavailableError: the broker does not respond, or the disk does not take the upload.
    """
    _check_queue(backend.settings)
    jobs, uploads = _book(backend), KeptUploads(backend.settings.home)
    _check_places(jobs, owner)
    if isinstance(wanted, Upload):
        _check_space(uploads, backend.settings)
    job = jobs.add(UPLOADED if isinstance(wanted, Upload) else wanted, model, owner)
    try:
        if isinstance(wanted, Upload):
            uploads.keep(job.id, wanted)
        queue.send_task(RUN_JOB, (job.id,), task_id=job.id, ignore_result=True)
    except (OperationalError, RedisError, CeleryError) as err:
        _forget(job, jobs, uploads)
        raise UnavailableError(f"the queue did not accept the job ({type(err).__name__})") from err
    except UnavailableError:
        _forget(job, jobs, uploads)
        raise
    return job


def _forget(job: Job, jobs: JobBook, uploads: KeptUploads) -> None:
    jobs.remove(job.id)
    uploads.drop(job.id)


def _check_space(uploads: KeptUploads, settings: Settings) -> None:
    """Check that one more upload may wait.

    Raises:
        BusyError: too many wait.
        UnavailableError: the disk is nearly full.
    """
    if uploads.count() >= MOST_UPLOADS:
        REFUSED.labels("queue_full").inc()
        raise BusyError(f"{MOST_UPLOADS} uploads are waiting, the limit; retry later, or without Prefer: respond-async")
    if disk_usage(settings.home).free < settings.min_free_bytes + settings.upload_max_bytes:
        raise UnavailableError("the disk has no room for an upload that waits (NOWCAST_MIN_FREE_BYTES)")


def _check_places(jobs: JobBook, owner: str | None) -> None:
    waiting = jobs.select(state="waiting", limit=MOST_WAITING)
    own = sum(job.owner == owner for job in waiting)
    if own >= MOST_OF_ONE or len(waiting) >= MOST_WAITING:
        REFUSED.labels("queue_full").inc()
        which = f"{MOST_OF_ONE} of this client's" if own >= MOST_OF_ONE else str(MOST_WAITING)
        raise BusyError(f"{which} jobs are waiting, the limit; retry later")


def accepted(job: Job) -> Response:
    """Return the 202 response for a job."""
    headers = {
        "Location": f"{public_prefix()}/jobs/{job.id}",
        "Preference-Applied": "respond-async",
        "Retry-After": "1",
    }
    return Response(job_out(job).model_dump_json(), 202, headers, "application/json")


@router.get("", openapi_extra=as_table("jobs"), summary="Jobs, newest first", responses=documented(422))
def read_jobs(
    backend: BackendDep,
    request: Request,
    response: Response,
    status: Annotated[JobState | None, Query(description="state of the jobs; all if omitted")] = None,
    limit: Limit = 100,
    cursor: Cursor = None,
) -> JobsOut:
    """Return the jobs of the last day."""
    found = _book(backend).select(state=status, after=position_of(cursor), limit=limit + 1)
    last = found[limit - 1] if len(found) > limit else None
    link = next_link(request, response, (last.created_at, last.id) if last else None)
    return JobsOut(jobs=[job_out(job) for job in found[:limit]], next=link)


@router.get("/{job_id}", summary="State of an asynchronous forecast", responses=documented(404, 422))
def read_job(job_id: UUID, backend: BackendDep) -> JobOut:
    """Return the state of a job: waiting, running, done (with a link to the forecast), failed or cancelled.

    A job is kept for a day.
    """
    return job_out(_book(backend).get(str(job_id)))


@router.delete("/{job_id}", summary="Cancel a job", responses=documented(401, 403, 404, 409, 422))
def cancel_job(job_id: UUID, backend: BackendDep, caller: CallerDep) -> JobOut:
    """Cancel a job. A waiting job is not started; a running one may finish, and its result is discarded."""
    jobs = _book(backend)
    owner = jobs.get(str(job_id)).owner
    if owner != (caller.key.id if caller.key else None) and not caller.allows("admin"):
        raise PermissionDeniedError(
            f"job {job_id} belongs to another caller; expected its API key, or one with the scope admin"
        )
    cancelled = jobs.cancel(str(job_id))
    KeptUploads(backend.settings.home).drop(cancelled.id)
    return job_out(cancelled)


def job_out(job: Job) -> JobOut:
    """Return the document of a job, with links to it and to its forecast."""
    links = {"self": f"{public_prefix()}/jobs/{job.id}"}
    if job.forecast_id:
        links["forecast"] = f"{public_prefix()}/nowcast/{job.forecast_id}"
    detail = str(job.problem["detail"]) if job.problem else None
    return JobOut.of(job, job_id=job.id, status=job.state, detail=detail, links=links)


def _book(backend: Backend) -> JobBook:
    return _opened(backend.service.catalogue.engine)


@lru_cache(maxsize=1)
def _opened(engine: Engine) -> JobBook:
    return JobBook(engine)  # cached, since opening checks for its table


def _check_queue(settings: Settings) -> None:
    """Check the broker once and quickly; Celery itself would retry for twenty seconds.

    Raises:
        UnavailableError: it does not respond.
    """
    state = queue_state(settings)
    if state != "ok":
        raise UnavailableError(f"task queue: {state}")
