"""The tables of the service, in the same database as those of the ingest room; see `ingest.store.tables`."""

from datetime import datetime
from typing import Any

from sqlalchemy import JSON, BigInteger, Boolean, ForeignKey, String, Text, UniqueConstraint
from sqlalchemy.orm import Mapped, mapped_column

from ingest.store.tables import Base, UtcDateTime


class ForecastRow(Base):
    """One forecast file; `attributes` are those of the file, `path` is relative to the folder of forecasts."""

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


class ForecastTimeRow(Base):
    """When the forecast of a reference time was made first; kept longer than the forecast.

    Attributes:
        scheduled: whether the schedule asked for it; from the first such time of a model on, others are expected.
    """

    __tablename__ = "forecast_times"
    __table_args__ = ({"sqlite_with_rowid": False},)

    product: Mapped[str] = mapped_column(Text, primary_key=True)
    model: Mapped[str] = mapped_column(Text, primary_key=True)
    reference_time: Mapped[datetime] = mapped_column(UtcDateTime, primary_key=True)
    issued_at: Mapped[datetime] = mapped_column(UtcDateTime)
    scheduled: Mapped[bool] = mapped_column(Boolean)


class ScoredLeadRow(Base):
    """One scored lead of one forecast, or the sum of an hour or a day of them; the key prevents a second entry.

    A row of an hour or a day covers the valid times after its start up to its end; `valid_time` and `reference_time`
    are that end. Its `companions` are the models, NAME@VERSION, that were scored with it, so that baselines are summed
    over the same forecasts as a model (decision 0042).
    """

    __tablename__ = "scored_leads"
    __table_args__ = (
        UniqueConstraint(
            "product",
            "model",
            "version",
            "grid_key",
            "reference_time",
            "lead_minutes",
            "period_minutes",
            "companions",
            name="scored_leads_key",
        ),
    )

    id: Mapped[int] = mapped_column(primary_key=True)
    product: Mapped[str] = mapped_column(Text)
    model: Mapped[str] = mapped_column(Text)
    version: Mapped[str] = mapped_column(Text)
    grid_key: Mapped[str] = mapped_column(String(64))
    reference_time: Mapped[datetime] = mapped_column(UtcDateTime)
    lead_minutes: Mapped[int]
    period_minutes: Mapped[int]
    companions: Mapped[str] = mapped_column(Text)
    valid_time: Mapped[datetime] = mapped_column(UtcDateTime, index=True)


class ScoreSumsRow(Base):
    """The sums of one scored lead: the columns of one family of sums, in the order of `verification.sums.Sums.columns`.

    Attributes:
        family: name of the sums (`verification.table.SumRow`).
        threshold_mmh, window_km, bin: -1 if the family has none, since a primary key contains no NULL.
    """

    __tablename__ = "score_sums"
    __table_args__ = ({"sqlite_with_rowid": False},)  # the key is the row: half the size

    scored_lead: Mapped[int] = mapped_column(ForeignKey("scored_leads.id"), primary_key=True, autoincrement=False)
    family: Mapped[str] = mapped_column(String(64), primary_key=True)
    mask: Mapped[str] = mapped_column(String(8), primary_key=True)
    threshold_mmh: Mapped[float] = mapped_column(primary_key=True)
    window_km: Mapped[float] = mapped_column(primary_key=True)
    bin: Mapped[int] = mapped_column(primary_key=True, autoincrement=False)
    value_0: Mapped[int] = mapped_column(BigInteger)
    value_1: Mapped[int] = mapped_column(BigInteger)
    value_2: Mapped[int] = mapped_column(BigInteger)
    value_3: Mapped[int] = mapped_column(BigInteger)
