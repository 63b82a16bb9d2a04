"""Jobs in the worker: forecasts that a client follows; one that the queue or a worker has lost is queued again."""

import logging
from datetime import UTC, datetime
from functools import cache
from typing import Any, Final

from celery.exceptions import SoftTimeLimitExceeded

from core.errors import NowcastError, UnavailableError
from core.settings import get_settings
from service.forecasts.nowcast import NowcastService, StoredForecast
from service.forecasts.uploads import KeptUploads, forecast_of_upload
from service.inference.request_scope import request_scope
from service.tasks.forecasts import service
from service.tasks.jobbook import KEPT, UPLOADED, Job, JobBook
from service.tasks.queue import FIND_LOST_JOBS, REDELIVERY_AFTER_LIMIT_S, RUN_JOB, model_limit_s, queue

log = logging.getLogger(__name__)

MOST_TRIES: Final = 3


@cache
def book() -> JobBook:
    """Return the jobs of this process's service."""
    return JobBook(service().catalogue.engine)


@queue.task(name=RUN_JOB, autoretry_for=(UnavailableError,), retry_backoff=True, retry_backoff_max=30, max_retries=5)
def run_job_task(job_id: str) -> None:
    """Compute the forecast of a job."""
    run_job(service(), book(), job_id)


@queue.task(name=FIND_LOST_JOBS)
def find_lost_jobs_task() -> int:
    """Queue lost jobs again; return their number. Uploads that no job has taken for a day are deleted."""
    limit_s, uploads = get_settings().task_limit_s + 2 * REDELIVERY_AFTER_LIMIT_S, KeptUploads(get_settings().home)
    again = find_lost(book(), uploads, limit_s)
    for job_id in again:
        run_job_task.apply_async((job_id,), ignore_result=True)
    uploads.sweep(datetime.now(UTC) - KEPT)
    return len(again)


def run_job(service: NowcastService, jobs: JobBook, job_id: str) -> None:
    """Compute the forecast of a job unless it was cancelled, and store the outcome.

    Raises:
        UnavailableError: not possible now; the task is retried.
    """
    job, uploads = jobs.begin(job_id), KeptUploads(service.settings.home)
    if job is None:
        uploads.drop(job_id)  # it may have been cancelled while its upload was written
        return
    try:
        with request_scope(model_s=model_limit_s(service.settings)):
            forecast = _forecast(service, job)
    except UnavailableError:
        jobs.mark_waiting(job_id)
        raise
    except NowcastError as err:
        jobs.fail(job_id, problem_of(err.status, err.title, str(err)))
    except SoftTimeLimitExceeded:
        jobs.fail(job_id, problem_of(503, UnavailableError.title, "it took longer than the time limit of a task"))
    except Exception:
        jobs.fail(job_id, problem_of(500, "Internal error", "the service failed on this job; see its log"))
        uploads.drop(job_id)
        raise
    else:
        jobs.finish(job_id, forecast.id)
    uploads.drop(job_id)


def _forecast(service: NowcastService, job: Job) -> StoredForecast:
    if job.reference_time == UPLOADED:
        return forecast_of_upload(service, KeptUploads(service.settings.home).read(job.id))
    time = datetime.fromisoformat(job.reference_time) if job.reference_time else None
    return service.forecast_stored(time, job.model)


def find_lost(jobs: JobBook, uploads: KeptUploads, older_than_s: float, most_tries: int = MOST_TRIES) -> list[str]:
    """Return the ids of lost jobs to queue again; one that was lost too often fails, and its upload is deleted."""
    again = []
    for job in jobs.lost(older_than_s):
        if job.tries >= most_tries:
            detail = f"no worker completed it in {job.tries} tries; the service may be overloaded, or have no worker"
            jobs.fail(job.id, problem_of(503, UnavailableError.title, detail))
            uploads.drop(job.id)
        elif jobs.requeue(job):
            log.warning("job %s was lost in the queue: queued again", job.id)
            again.append(job.id)
    return again


def problem_of(status: int, title: str, detail: str) -> dict[str, Any]:
    """Return the problem document of a failed job."""
    return {"status": status, "title": title, "detail": detail}
