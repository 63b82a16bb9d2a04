"""Answers about scores, models, scans, jobs and health, as documented in the OpenAPI page."""

from datetime import datetime
from typing import Any, Literal
from uuid import UUID

from pydantic import Field

from service.api.schemas import Out, ScoreOut, Share


class RollingOut(Out):
    """Pooled scores of the forecasts of a period."""

    period_hours: float
    model: str | None
    until: datetime
    scores: list[ScoreOut]


class ModelInfoOut(Out):
    """A model that forecasts can be asked of."""

    name: str
    version: str | None = Field(description="null until the model is loaded")
    default: bool
    baseline: bool
    cadence_minutes: int | None
    pixel_m: float | None
    input_steps: int | None
    card: dict[str, Any] = Field(description="training data, years, scores and licence, as the checkpoint says")


class ModelsOut(Out):
    """All models."""

    models: list[ModelInfoOut]


class ScanOut(Out):
    """One stored radar scan."""

    product: str
    valid_time: datetime
    received_at: datetime
    coverage: Share
    missing_radars: list[str]
    grid_key: str


class ScansOut(Out):
    """Stored scans, newest first."""

    count: int = Field(description="of all that match, also those beyond the limit")
    scans: list[ScanOut]


class IngestProductOut(Out):
    """The newest scan of a product and what is wrong with it."""

    product: str
    newest: datetime
    received_at: datetime
    age_s: float
    coverage: Share
    missing_radars: list[str]
    cadence_minutes: float | None
    gaps: list[datetime] = Field(description="times of the last two and a half hours without a scan")
    overdue_since: datetime | None
    all_dry: bool
    frozen: bool = Field(description="the last three scans show the same rain")
    implausible: str | None


class IngestOut(Out):
    """How ingest stands."""

    at: datetime
    warnings: list[str] = Field(description="what a person should look at; empty while all is well")
    counts: dict[str, int] = Field(
        description="files, stored, replaced, late, duplicates, rejected:KIND, deleted:KIND, ..."
    )
    rejected: dict[str, int] = Field(description="quarantined files by the kind of their fault")
    products: list[IngestProductOut]
    worker: dict[str, Any] = Field(description="the ingest worker's heartbeat: pause, sources and their outages")
    catalogue_error: str | None = None


class JobOut(Out):
    """A forecast that was asked for with `Prefer: respond-async`."""

    job_id: str
    status: Literal["waiting", "running", "done", "failed"]
    forecast_id: UUID | None = None
    detail: str | None = Field(None, description="why it failed")
    links: dict[str, str]


class ReadyOut(Out):
    """All parts answer."""

    status: Literal["ready"] = "ready"
    checks: dict[str, str]
