"""The tables of the catalogue: the shared declarative base, and the tables of the ingest room.

The service declares its own tables on the same `Base` (`service/forecasts/tables.py`, `service/access/keybook.py`,
`service/tasks/jobbook.py`). Tables are created and changed by `ingest/store/migrations` alone; a test compares the two.
"""

from datetime import UTC, datetime
from typing import Final

from sqlalchemy import JSON, BigInteger, DateTime, Dialect, String, Text, TypeDecorator
from sqlalchemy.orm import DeclarativeBase, Mapped, mapped_column


class UtcDateTime(TypeDecorator[datetime]):
    """Column type of times: aware UTC in Python, UTC without a zone in the database."""

    impl = DateTime
    cache_ok = True

    def process_bind_param(self, value: datetime | None, dialect: Dialect) -> datetime | None:  # noqa: ARG002
        """Convert a time for the database."""
        return None if value is None else value.astimezone(UTC).replace(tzinfo=None)

    def process_result_value(self, value: datetime | None, dialect: Dialect) -> datetime | None:  # noqa: ARG002
        """Convert a time from the database."""
        return None if value is None else value.replace(tzinfo=UTC)


class Base(DeclarativeBase):
    """The only declarative base; its metadata is the whole schema once all rooms are imported."""


class ScanRow(Base):
    """One stored observation; `path` is relative to the live store."""

    __tablename__ = "scans"

    product: Mapped[str] = mapped_column(Text, primary_key=True)
    valid_time: Mapped[datetime] = mapped_column(UtcDateTime, primary_key=True, index=True)
    received_at: Mapped[datetime] = mapped_column(UtcDateTime)
    path: Mapped[str] = mapped_column(Text)
    sha256: Mapped[str] = mapped_column(String(64))
    grid_key: Mapped[str] = mapped_column(String(64))
    coverage: Mapped[float]
    missing_radars: Mapped[list[str]] = mapped_column(JSON)
    issued_at: Mapped[datetime] = mapped_column(UtcDateTime)
    wet_fraction: Mapped[float]
    wet_mean_mmh: Mapped[float]
    max_mmh: Mapped[float]
    field_digest: Mapped[str] = mapped_column(String(32))


class FileRow(Base):
    """One completely ingested file; a rejected one is not recorded here, since a newer reader may understand it.

    The name is part of the key: some formats contain no time, so that two dry hours are the same bytes.
    """

    __tablename__ = "files"

    sha256: Mapped[str] = mapped_column(String(64), primary_key=True)
    name: Mapped[str] = mapped_column(Text, primary_key=True, index=True)
    observations: Mapped[int]
    forecasts: Mapped[int]
    ingested_at: Mapped[datetime] = mapped_column(UtcDateTime)


class RejectedRow(Base):
    """One rejected file, once for each content and name; a copy of it is kept in the quarantine."""

    __tablename__ = "rejected_files"

    sha256: Mapped[str] = mapped_column(String(64), primary_key=True)
    name: Mapped[str] = mapped_column(Text, primary_key=True)
    kind: Mapped[str] = mapped_column(String(32))
    reason: Mapped[str] = mapped_column(Text)
    at: Mapped[datetime] = mapped_column(UtcDateTime)


CHANGES: Final = "changes:forecasts"
"""Counter of changes of the forecasts, by which machines that share no disk find out; none of ingest's own."""


class CountRow(Base):
    """A counter since the catalogue was created."""

    __tablename__ = "ingest_counts"

    what: Mapped[str] = mapped_column(String(64), primary_key=True)
    n: Mapped[int] = mapped_column(BigInteger)


class HeartbeatRow(Base):
    """When a part did its own work last, or completed a synthetic task (`service.tasks.watchdog`).

    Attributes:
        giver: `progress:PART:NAME` of work (`ingest.store.progress`); else the sender of a synthetic task.
        given_at: of work, the time until which none is expected; else when the task was sent.
    """

    __tablename__ = "heartbeats"

    giver: Mapped[str] = mapped_column(String(255), primary_key=True)
    given_at: Mapped[datetime] = mapped_column(UtcDateTime)
    completed_at: Mapped[datetime] = mapped_column(UtcDateTime)
