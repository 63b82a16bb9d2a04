"""Answers about models, scans, jobs and health, as documented in the OpenAPI page."""

from datetime import datetime
from typing import Any, Literal
from uuid import UUID

from pydantic import BaseModel, ConfigDict, Field

from service.schemas.base import Out
from service.schemas.forecasts import Share


class AliasIn(BaseModel):
    """What an alias shall mean."""

    model_config = ConfigDict(extra="forbid", json_schema_extra={"examples": [{"name": "default", "version": None}]})

    name: str = Field(max_length=100, description="of a model of GET /models")
    version: str | None = Field(None, max_length=100, description="null is the one that the name means now")


class AliasOut(Out):
    """A name that means one version of a model."""

    alias: str
    name: str
    version: str
    since: datetime
    before: list[str] = Field(description="what it meant before, NAME@VERSION, the latest last")


class ModelVersionOut(Out):
    """One version of a model; a request asks for it as NAME@VERSION."""

    name: str
    version: str
    added_at: datetime | None = Field(description="null: it comes with the package")


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
    versions: list[ModelVersionOut] = Field(description="all there are of the model that the name means")


class ModelsOut(Out):
    """All models."""

    models: list[ModelInfoOut]
    aliases: list[AliasOut] = Field(description="names that an operator has set; `default` too is one where it is set")


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
    next: str | None = Field(None, description="the next page; null on the last")


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
    status: Literal["waiting", "running", "done", "failed", "cancelled"]
    model: str = Field("default", description="the name that was asked for")
    created_at: datetime | None = None
    forecast_id: UUID | None = None
    detail: str | None = Field(None, description="why it failed")
    problem: dict[str, Any] | None = Field(None, description="status, title and detail of the failure")
    links: dict[str, str]


class JobsOut(Out):
    """Jobs, newest first."""

    jobs: list[JobOut]
    next: str | None = Field(description="the next page; null on the last")


class ForecastRowOut(Out):
    """A stored forecast in one line."""

    forecast_id: UUID
    reference_time: datetime
    issued_at: datetime
    status: Literal["ok", "degraded", "stale"]
    model: str
    version: str
    method: str
    origin: Literal["scans", "upload"]
    product: str
    href: str


class ForecastsOut(Out):
    """Stored forecasts, newest reference time first."""

    forecasts: list[ForecastRowOut]
    next: str | None = Field(description="the next page; null on the last")


class ReadyOut(Out):
    """All parts answer; `stale` where the newest scan is older than a live forecast may be."""

    status: Literal["ready", "stale"] = "ready"
    checks: dict[str, str]
