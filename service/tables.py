"""The service's own tables, beside those of the ingest room in the same database."""

from datetime import datetime
from typing import Any

from sqlalchemy import JSON, BigInteger, String, Text
from sqlalchemy.orm import DeclarativeBase, Mapped, mapped_column

from ingest.catalogue import UtcDateTime


class Base(DeclarativeBase):
    """The tables of the service."""


class ForecastRow(Base):
    """One forecast file; `attributes` are the file's own, `path` is relative to the folder of forecasts."""

    __tablename__ = "forecasts"

    id: Mapped[str] = mapped_column(String(36), primary_key=True)
    origin: Mapped[str] = mapped_column(String(16))
    requested_model: Mapped[str] = mapped_column(Text)
    model: Mapped[str] = mapped_column(Text)
    version: Mapped[str] = mapped_column(Text)
    product: Mapped[str] = mapped_column(Text)
    grid_key: Mapped[str] = mapped_column(String(64))
    reference_time: Mapped[datetime] = mapped_column(UtcDateTime, index=True)
    inputs_sha256: Mapped[str] = mapped_column(String(64), index=True)
    leads: Mapped[int]
    path: Mapped[str] = mapped_column(Text)
    attributes: Mapped[dict[str, Any]] = mapped_column(JSON)


class CountsRow(Base):
    """Counts of one forecast at one lead and threshold; the key keeps a second scoring out."""

    __tablename__ = "scores"

    product: Mapped[str] = mapped_column(Text, primary_key=True)
    model: Mapped[str] = mapped_column(Text, primary_key=True)
    version: Mapped[str] = mapped_column(Text, primary_key=True)
    grid_key: Mapped[str] = mapped_column(String(64), primary_key=True)
    reference_time: Mapped[datetime] = mapped_column(UtcDateTime, primary_key=True)
    lead_minutes: Mapped[int] = mapped_column(primary_key=True)
    threshold_mmh: Mapped[float] = mapped_column(primary_key=True)
    valid_time: Mapped[datetime] = mapped_column(UtcDateTime, index=True)
    forecast_id: Mapped[str] = mapped_column(String(36))
    hits: Mapped[int] = mapped_column(BigInteger)
    misses: Mapped[int] = mapped_column(BigInteger)
    false_alarms: Mapped[int] = mapped_column(BigInteger)
    correct_negatives: Mapped[int] = mapped_column(BigInteger)


class JobRow(Base):
    """A forecast that somebody follows."""

    __tablename__ = "jobs"

    id: Mapped[str] = mapped_column(String(64), primary_key=True)
    state: Mapped[str] = mapped_column(String(16))
    forecast_id: Mapped[str | None] = mapped_column(String(36))
    problem: Mapped[dict[str, Any] | None] = mapped_column(JSON)
    created_at: Mapped[datetime] = mapped_column(UtcDateTime)
