"""Jobs in the worker: a followed forecast is made, and one whose message or worker was lost is handed out again."""

import logging
from datetime import datetime
from functools import cache
from typing import Any, Final

from celery.exceptions import SoftTimeLimitExceeded

from core.errors import NowcastError, UnavailableError
from core.settings import get_settings
from service.forecasts.nowcast import NowcastService
from service.tasks.forecasts import service
from service.tasks.jobbook import JobBook
from service.tasks.queue import FIND_LOST_JOBS, REDELIVERY_AFTER_LIMIT_S, RUN_JOB, queue

log = logging.getLogger(__name__)

MOST_TRIES: Final = 3


@cache
def book() -> JobBook:
    """The jobs of this process's service."""
    return JobBook(service().catalogue.engine)


@queue.task(name=RUN_JOB, autoretry_for=(UnavailableError,), retry_backoff=True, retry_backoff_max=30, max_retries=5)
def run_job_task(job_id: str) -> None:
    """Make the forecast of a job."""
    run_job(service(), book(), job_id)


@queue.task(name=FIND_LOST_JOBS)
def find_lost_jobs_task() -> int:
    """Hand lost jobs out again; gives their number."""
    limit_s = get_settings().task_limit_s + 2 * REDELIVERY_AFTER_LIMIT_S
    again = find_lost(book(), limit_s)
    for job_id in again:
        run_job_task.apply_async((job_id,), ignore_result=True)
    return len(again)


def run_job(service: NowcastService, jobs: JobBook, job_id: str) -> None:
    """Make the forecast of a job that is still wanted, and say how it went.

    Raises:
        UnavailableError: not possible now; to be tried again.
    """
    job = jobs.begin(job_id)
    if job is None:
        return
    try:
        time = datetime.fromisoformat(job.reference_time) if job.reference_time else None
        forecast = service.forecast_stored(time, job.model)
    except UnavailableError:
        jobs.wait_again(job_id)
        raise
    except NowcastError as err:
        jobs.fail(job_id, problem_of(err.status, err.title, str(err)))
    except SoftTimeLimitExceeded:
        jobs.fail(job_id, problem_of(503, UnavailableError.title, "it took longer than one task may take"))
    except Exception:
        jobs.fail(job_id, problem_of(500, "Internal error", "the service failed on this job; the log says why"))
        raise
    else:
        jobs.finish(job_id, forecast.id)


def find_lost(jobs: JobBook, older_than_s: float, most_tries: int = MOST_TRIES) -> list[str]:
    """Ids of lost jobs that are to be queued again; one that was lost too often is failed."""
    again = []
    for job in jobs.lost(older_than_s):
        if job.tries >= most_tries:
            detail = f"no worker ended it in {job.tries} tries; the service may be overloaded, or its workers gone"
            jobs.fail(job.id, problem_of(503, UnavailableError.title, detail))
        elif jobs.hand_out_again(job):
            log.warning("job %s was lost in the queue: handed out again", job.id)
            again.append(job.id)
    return again


def problem_of(status: int, title: str, detail: str) -> dict[str, Any]:
    """What a problem document says of a failed job."""
    return {"status": status, "title": title, "detail": detail}
