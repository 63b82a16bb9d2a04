"""The marks that synthetic tasks leave in the catalogue: they tell that schedule, queue, worker and catalogue work."""

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Final

from sqlalchemy import Engine, delete, select

from core.settings import Settings
from ingest.store.catalogue import reading, upsert, writing
from service.forecasts.tables import HeartbeatRow

SCHEDULE: Final = "schedule"
LATE_BEATS: Final = 3
FORGOTTEN_AFTER: Final = timedelta(days=1)
"""A worker that has not completed anything for so long has been taken away."""


@dataclass(frozen=True)
class Heartbeats:
    """Last completed synthetic tasks; None where there was none yet."""

    schedule: datetime | None
    any: datetime | None


def late_after_s(settings: Settings) -> float:
    """A part that completed nothing for so long does not work; longer than one task may run."""
    return max(LATE_BEATS * settings.heartbeat_s, settings.task_limit_s + settings.heartbeat_s)


def complete(engine: Engine, giver: str, given_at: datetime, now: datetime | None = None) -> None:
    """Mark a synthetic task as done."""
    now = now or datetime.now(UTC)
    row = {"giver": giver, "given_at": given_at.astimezone(UTC), "completed_at": now.astimezone(UTC)}
    with writing(engine) as connection:
        connection.execute(upsert(HeartbeatRow, [row], connection.dialect.name))
        connection.execute(delete(HeartbeatRow).where(HeartbeatRow.completed_at < now - FORGOTTEN_AFTER))


def completed(engine: Engine) -> Heartbeats:
    """When a synthetic task was last completed, of the schedule and of anybody."""
    query = select(HeartbeatRow.giver, HeartbeatRow.completed_at)
    with reading(engine) as connection:
        times = {row.giver: row.completed_at for row in connection.execute(query)}
    return Heartbeats(times.get(SCHEDULE), max(times.values(), default=None))
