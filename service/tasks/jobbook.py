"""Jobs: forecasts that a client follows, stored in the catalogue's database so that none is lost with the queue."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any, Final, Literal
from uuid import uuid4

from sqlalchemy import JSON, Engine, String, Text, delete, insert, or_, select, update
from sqlalchemy.orm import Mapped, mapped_column

from core.errors import ConflictError, NoDataError
from ingest.store.database import reading, writing
from ingest.store.schema import prepare
from ingest.store.tables import Base, UtcDateTime

JobState = Literal["waiting", "running", "done", "failed", "cancelled"]
OPEN: Final[tuple[JobState, ...]] = ("waiting", "running")
UPLOADED: Final = "upload"
"""In place of the reference time of a job whose frames were uploaded."""

KEPT: Final = timedelta(hours=24)
"""How long a job is kept after its creation."""


class OverError(ConflictError):
    """The job has ended, so that it can no longer be cancelled."""

    title = "Not possible any more"


class JobRow(Base):
    """One job; `handed_out_at` is the time at which it was last queued, `tries` how often."""

    __tablename__ = "forecast_jobs"

    id: Mapped[str] = mapped_column(String(36), primary_key=True)
    state: Mapped[str] = mapped_column(String(16), index=True)
    reference_time: Mapped[str | None] = mapped_column(Text)
    model: Mapped[str] = mapped_column(Text)
    owner: Mapped[str | None] = mapped_column(Text)
    forecast_id: Mapped[str | None] = mapped_column(String(36))
    problem: Mapped[dict[str, Any] | None] = mapped_column(JSON)
    created_at: Mapped[datetime] = mapped_column(UtcDateTime, index=True)
    handed_out_at: Mapped[datetime] = mapped_column(UtcDateTime)
    tries: Mapped[int]


@dataclass(frozen=True)
class Job:
    """A forecast that a client has requested and follows.

    Attributes:
        reference_time: as requested (ISO 8601); None is the newest scan, `UPLOADED` the frames of an upload.
        owner: id of the API key of the request, None without one.
        problem: why it failed: `title`, `status` and `detail` of a problem document.
    """

    id: str
    state: JobState
    reference_time: str | None
    model: str
    owner: str | None
    forecast_id: str | None
    problem: dict[str, Any] | None
    created_at: datetime
    handed_out_at: datetime
    tries: int


class JobBook:
    """The jobs of one service; several processes may use it at once."""

    def __init__(self, engine: Engine) -> None:
        self.engine = engine
        prepare(engine)

    def add(self, reference_time: str | None, model: str, owner: str | None = None) -> Job:
        """Store a new waiting job and return it; delete jobs of more than a day ago."""
        now = datetime.now(UTC)
        job = Job(str(uuid4()), "waiting", reference_time, model, owner, None, None, now, now, 1)
        with writing(self.engine) as connection:
            connection.execute(delete(JobRow).where(JobRow.created_at < now - KEPT))
            connection.execute(insert(JobRow).values(**vars(job)))
        return job

    def get(self, job_id: str) -> Job:
        """Return the job with that id.

        Raises:
            NoDataError: there is none.
        """
        with reading(self.engine) as connection:
            row = connection.execute(select(JobRow.__table__).where(JobRow.id == job_id)).one_or_none()
        if row is None:
            raise NoDataError(f"no job has the id {job_id}; jobs are kept for 24 hours")
        return Job(**row._asdict())

    def select(
        self, *, state: JobState | None = None, after: tuple[datetime, str] | None = None, limit: int = 100
    ) -> Sequence[Job]:
        """Return jobs, the newest first; `after` is time and id of the last one of the page before."""
        query = select(JobRow.__table__).order_by(JobRow.created_at.desc(), JobRow.id).limit(limit)
        if state is not None:
            query = query.where(JobRow.state == state)
        if after is not None:
            time, job_id = after
            query = query.where(or_(JobRow.created_at < time, (JobRow.created_at == time) & (JobRow.id > job_id)))
        with reading(self.engine) as connection:
            return [Job(**row._asdict()) for row in connection.execute(query).all()]

    def begin(self, job_id: str) -> Job | None:
        """Mark a job as running and return it; None where it has ended or was deleted."""
        return self.get(job_id) if self._change(job_id, state="running") else None

    def mark_waiting(self, job_id: str) -> None:
        """Mark a job as waiting, since it was not possible now."""
        self._change(job_id, state="waiting")

    def finish(self, job_id: str, forecast_id: str) -> None:
        """Mark a job as done, unless it was cancelled."""
        self._change(job_id, state="done", forecast_id=forecast_id)

    def fail(self, job_id: str, problem: dict[str, Any]) -> None:
        """Mark a job as failed, unless it was cancelled."""
        self._change(job_id, state="failed", problem=problem)

    def cancel(self, job_id: str) -> Job:
        """Cancel a job. A waiting job is not started; a running one may finish, and its result is discarded.

        Raises:
            NoDataError: no such job.
            OverError: it has ended.
        """
        self._change(job_id, state="cancelled")
        job = self.get(job_id)
        if job.state != "cancelled":
            raise OverError(f"job {job_id} is {job.state}; expected one that is waiting or running")
        return job

    def remove(self, job_id: str) -> None:
        """Delete a job that could not be queued."""
        with writing(self.engine) as connection:
            connection.execute(delete(JobRow).where(JobRow.id == job_id))

    def lost(self, older_than_s: float) -> Sequence[Job]:
        """Return open jobs that were queued so long ago that the worker which took them must have ended."""
        before = datetime.now(UTC) - timedelta(seconds=older_than_s)
        query = select(JobRow.__table__).where(JobRow.state.in_(OPEN), JobRow.handed_out_at < before)
        with reading(self.engine) as connection:
            return [Job(**row._asdict()) for row in connection.execute(query).all()]

    def requeue(self, job: Job) -> bool:
        """Count one more try and return whether this process may queue the job again; another may have done so."""
        found = update(JobRow).where(JobRow.id == job.id, JobRow.tries == job.tries, JobRow.state.in_(OPEN))
        with writing(self.engine) as connection:
            changes = {"tries": job.tries + 1, "handed_out_at": datetime.now(UTC), "state": "waiting"}
            return bool(connection.execute(found.values(**changes)).rowcount)

    def _change(self, job_id: str, **changes: Any) -> bool:
        found = update(JobRow).where(JobRow.id == job_id, JobRow.state.in_(OPEN))
        with writing(self.engine) as connection:
            return bool(connection.execute(found.values(**changes)).rowcount)
