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
