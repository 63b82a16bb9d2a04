"""Forecasts that somebody follows, in the catalogue's database: what the queue loses is found again here."""

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
KEPT: Final = timedelta(hours=24)
"""So long a job is told of after it was asked for."""


class OverError(ConflictError):
    """What was asked of a job can no longer be done."""

    title = "Not possible any more"


class JobRow(Base):
    """One job; `handed_out_at` is when it last went into the queue, `tries` how often it did."""

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
    """A forecast that was asked for and is followed.

    Attributes:
        reference_time: as it was asked for (ISO 8601); None is the newest scan.
        owner: id of the API key that asked, None without one.
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
        """A new job that waits; those of yesterday are forgotten."""
        now = datetime.now(UTC)
        job = Job(str(uuid4()), "waiting", reference_time, model, owner, None, None, now, now, 1)
        with writing(self.engine) as connection:
            connection.execute(delete(JobRow).where(JobRow.created_at < now - KEPT))
            connection.execute(insert(JobRow).values(**vars(job)))
        return job

    def get(self, job_id: str) -> Job:
        """A job.

        Raises:
            NoDataError: none has that id.
        """
        with reading(self.engine) as connection:
            row = connection.execute(select(JobRow.__table__).where(JobRow.id == job_id)).one_or_none()
        if row is None:
            raise NoDataError(f"no job {job_id}; the id of a job of the last day was due")
        return Job(**row._asdict())

    def select(
        self, *, state: JobState | None = None, after: tuple[datetime, str] | None = None, limit: int = 100
    ) -> Sequence[Job]:
        """Jobs, the newest first; `after` is time and id of the last one that is known already."""
        query = select(JobRow.__table__).order_by(JobRow.created_at.desc(), JobRow.id).limit(limit)
        if state is not None:
            query = query.where(JobRow.state == state)
        if after is not None:
            time, job_id = after
            query = query.where(or_(JobRow.created_at < time, (JobRow.created_at == time) & (JobRow.id > job_id)))
        with reading(self.engine) as connection:
            return [Job(**row._asdict()) for row in connection.execute(query).all()]

    def begin(self, job_id: str) -> Job | None:
        """Mark a job as running; None where it is over or gone, so that nothing is to be done."""
        return self.get(job_id) if self._change(job_id, state="running") else None

    def wait_again(self, job_id: str) -> None:
        """Mark a job that could not be done now."""
        self._change(job_id, state="waiting")

    def finish(self, job_id: str, forecast_id: str) -> None:
        """Mark a job as done, unless it was called off."""
        self._change(job_id, state="done", forecast_id=forecast_id)

    def fail(self, job_id: str, problem: dict[str, Any]) -> None:
        """Mark a job as failed, unless it was called off."""
        self._change(job_id, state="failed", problem=problem)

    def cancel(self, job_id: str) -> Job:
        """Call a job off: one that waits is not begun, one that runs may end unheard.

        Raises:
            NoDataError: no such job.
            OverError: it is over.
        """
        self._change(job_id, state="cancelled")
        job = self.get(job_id)
        if job.state != "cancelled":
            raise OverError(f"job {job_id} is {job.state}; one that is waiting or running was due")
        return job

    def remove(self, job_id: str) -> None:
        """Forget a job that did not get into the queue."""
        with writing(self.engine) as connection:
            connection.execute(delete(JobRow).where(JobRow.id == job_id))

    def lost(self, older_than_s: float) -> Sequence[Job]:
        """Open jobs that went into the queue so long ago that whoever took them must have ended."""
        before = datetime.now(UTC) - timedelta(seconds=older_than_s)
        query = select(JobRow.__table__).where(JobRow.state.in_(OPEN), JobRow.handed_out_at < before)
        with reading(self.engine) as connection:
            return [Job(**row._asdict()) for row in connection.execute(query).all()]

    def hand_out_again(self, job: Job) -> bool:
        """Count one more try; False where another process was first."""
        found = update(JobRow).where(JobRow.id == job.id, JobRow.tries == job.tries, JobRow.state.in_(OPEN))
        with writing(self.engine) as connection:
            told = {"tries": job.tries + 1, "handed_out_at": datetime.now(UTC), "state": "waiting"}
            return bool(connection.execute(found.values(**told)).rowcount)

    def _change(self, job_id: str, **told: Any) -> bool:
        found = update(JobRow).where(JobRow.id == job_id, JobRow.state.in_(OPEN))
        with writing(self.engine) as connection:
            return bool(connection.execute(found.values(**told)).rowcount)
