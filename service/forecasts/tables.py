"""The service's tables, in the same database as those of the ingest room; see `ingest.store.tables`."""

from datetime import datetime
from typing import Any, Final

from sqlalchemy import JSON, BigInteger, String, Text
from sqlalchemy.orm import Mapped, mapped_column

from ingest.store.tables import Base, UtcDateTime


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


FIRST: Final = -1
"""Shared columns stand before a table's own, in its primary key too."""


class Scored:
    """The columns that tell what was scored; the key keeps a second scoring out."""

    product: Mapped[str] = mapped_column(Text, primary_key=True, sort_order=FIRST)
    model: Mapped[str] = mapped_column(Text, primary_key=True, sort_order=FIRST)
    version: Mapped[str] = mapped_column(Text, primary_key=True, sort_order=FIRST)
    grid_key: Mapped[str] = mapped_column(String(64), primary_key=True, sort_order=FIRST)
    reference_time: Mapped[datetime] = mapped_column(UtcDateTime, primary_key=True, sort_order=FIRST)
    lead_minutes: Mapped[int] = mapped_column(primary_key=True, sort_order=FIRST)
    threshold_mmh: Mapped[float] = mapped_column(primary_key=True, sort_order=FIRST)
    valid_time: Mapped[datetime] = mapped_column(UtcDateTime, index=True, sort_order=FIRST)


class CountsRow(Scored, Base):
    """Counts of one forecast at one lead and threshold; the key keeps a second scoring out."""

    __tablename__ = "scores"

    forecast_id: Mapped[str] = mapped_column(String(36))
    hits: Mapped[int] = mapped_column(BigInteger)
    misses: Mapped[int] = mapped_column(BigInteger)
    false_alarms: Mapped[int] = mapped_column(BigInteger)
    correct_negatives: Mapped[int] = mapped_column(BigInteger)


class FractionsRow(Scored, Base):
    """Sums of the fractions skill score of one forecast at one lead, threshold and window; summed before the ratio."""

    __tablename__ = "fraction_sums"

    window_km: Mapped[float] = mapped_column(primary_key=True)
    difference: Mapped[float]
    worst: Mapped[float]
    windows: Mapped[int] = mapped_column(BigInteger)


class ReliabilityRow(Scored, Base):
    """Cells of one forecast by their probability of exceedance, and how often it was exceeded; all whole numbers."""

    __tablename__ = "reliability"

    bin: Mapped[int] = mapped_column(primary_key=True)
    cells: Mapped[int] = mapped_column(BigInteger)
    events: Mapped[int] = mapped_column(BigInteger)
    probability_ppm: Mapped[int] = mapped_column(BigInteger)


class HeartbeatRow(Base):
    """When a synthetic task was last completed, by who gave it out: `schedule`, or a worker's own watchdog."""

    __tablename__ = "heartbeats"

    giver: Mapped[str] = mapped_column(String(255), primary_key=True)
    given_at: Mapped[datetime] = mapped_column(UtcDateTime)
    completed_at: Mapped[datetime] = mapped_column(UtcDateTime)
