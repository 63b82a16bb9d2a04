"""Responses about models, scans, jobs and health; their descriptions are those of the OpenAPI document."""

from datetime import datetime
from typing import Any, Literal
from uuid import UUID

from pydantic import BaseModel, ConfigDict, Field

from service.schemas.base import Out
from service.schemas.forecasts import GridOut, RadarCoverage, Share
from service.schemas.places import ObservedNowOut


class AliasIn(BaseModel):
    """The version that an alias shall refer to."""

    model_config = ConfigDict(extra="forbid", json_schema_extra={"examples": [{"name": "default", "version": None}]})

    name: str = Field(max_length=100, description="a model from GET /models")
    version: str | None = Field(None, max_length=100, description="null is the current version of the name")


class AliasOut(Out):
    """A name that refers to one version of a model."""

    alias: str
    name: str
    version: str
    since: datetime
    before: list[str] = Field(description="previous targets (NAME@VERSION), oldest first")


class ModelVersionOut(Out):
    """One version of a model; a request selects it as NAME@VERSION."""

    name: str
    version: str
    added_at: datetime | None = Field(description="null for versions that come with the package")


class ModelInfoOut(Out):
    """A model that requests can select."""

    name: str
    version: str | None = Field(description="null until the model is loaded")
    default: bool
    baseline: bool
    cadence_minutes: int | None
    pixel_m: float | None
    input_steps: int | None
    card: dict[str, Any] = Field(description="training data, years, scores and licence, from the checkpoint")
    versions: list[ModelVersionOut] = Field(description="all versions of the model that the name refers to")


class ModelsOut(Out):
    """All models and aliases."""

    models: list[ModelInfoOut]
    aliases: list[AliasOut] = Field(description="names that an operator has set, possibly including `default`")


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

    count: int = Field(description="number of all matching scans, including those on other pages")
    scans: list[ScanOut]
    next: str | None = Field(None, description="the next page; null on the last")


class IngestProductOut(Out):
    """The newest scan of a product and its quality flags."""

    product: str
    newest: datetime
    received_at: datetime
    age_s: float
    coverage: Share
    missing_radars: list[str]
    cadence_minutes: float | None
    gaps: list[datetime] = Field(description="times without a scan in the last two and a half hours")
    overdue_since: datetime | None
    all_dry: bool
    frozen: bool = Field(description="whether the last three scans are identical")
    implausible: str | None


class IngestOut(Out):
    """State of ingest."""

    at: datetime
    warnings: list[str] = Field(description="conditions that need attention; empty if there are none")
    counts: dict[str, int] = Field(
        description="files, stored, replaced, late, duplicates, rejected:KIND, deleted:KIND, ..."
    )
    rejected: dict[str, int] = Field(description="quarantined files by kind of error")
    products: list[IngestProductOut]
    worker: dict[str, Any] = Field(description="the ingest worker's heartbeat: pause, sources and their outages")
    catalogue_error: str | None = None


class JobOut(Out):
    """An asynchronous forecast (`Prefer: respond-async`)."""

    job_id: str
    status: Literal["waiting", "running", "done", "failed", "cancelled"]
    model: str = Field("default", description="the requested name")
    created_at: datetime | None = None
    forecast_id: UUID | None = None
    detail: str | None = Field(None, description="reason of the failure")
    problem: dict[str, Any] | None = Field(None, description="status, title and detail of the failure")
    links: dict[str, str]


class JobsOut(Out):
    """Jobs, newest first."""

    jobs: list[JobOut]
    next: str | None = Field(description="the next page; null on the last")


class ForecastRowOut(Out):
    """Summary of a stored forecast."""

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


class WaitingOut(Out):
    """Why there is no forecast yet, and what to do about it."""

    kind: Literal["first scan", "second scan", "recent scans", "first forecast"] = Field(
        description="what is missing: `recent scans` does not end by itself where the files are old recordings"
    )
    detail: str = Field(description="the reason, in a sentence")
    command: str | None = Field(None, description="a command that shows the files nevertheless; null if none is needed")


class ReadyOut(Out):
    """All components respond; `stale` if the newest scan is older than a live forecast may be."""

    status: Literal["ready", "stale"] = "ready"
    checks: dict[str, str]
    waiting_for: WaitingOut | None = Field(None, description="why there is no forecast yet; null once there is one")


class RecentOut(Out):
    """The newest frame and its age."""

    product: str
    newest: datetime = Field(description="valid time of the newest frame")
    data_age_s: float = Field(description="age of the newest frame at the time of this response")
    stale: bool = Field(description="whether the newest frame is older than a live forecast may be")
    invented: bool = Field(description="whether the frames are invented weather instead of radar data")


class ObservedPointOut(RecentOut):
    """The frames of the last two hours at one place."""

    lat: float
    lon: float
    time_zone: str = Field("UTC", description="IANA name of the zone of all times, from `tz`")
    radar_coverage: RadarCoverage
    series: list[ObservedNowOut] = Field(description="ascending in time; null where not observed")
    notes: list[str] = Field(default=[], description="why all values are null")
    attribution: str = Field("", description="source of the radar data")


class RecentFrameOut(Out):
    """One frame."""

    valid_time: datetime
    missing_radars: list[str]
    coverage: float = Field(ge=0, le=1, description="share of the grid that is observed")
    href: str = Field(description="its picture")


class ObservedOut(RecentOut):
    """The frames of the last two hours."""

    attribution: str = Field(description="source of the radar data")
    grid: GridOut = Field(description="grid of the newest frame and of its picture")
    frames: list[RecentFrameOut] = Field(description="ascending in time")
