"""The minute forecast of a place, as weather apps show it."""

from datetime import datetime
from uuid import UUID

from pydantic import Field

from service.schemas.base import Out
from service.schemas.sentence import Language


class MinuteOut(Out):
    """Rain at one time."""

    time: datetime
    minutes: int = Field(description="after the reference time; 0 is observed")
    intensity_mmh: float | None = Field(description="null is not known")
    probability: float | None = Field(description="of rain at or above 0.1 mm/h; of the observed rate 0 or 1")
    known: bool | None = Field(description="false where rain can flow in from where no radar looks")


class MinutesOut(Out):
    """The minute forecast of a place."""

    lat: float
    lon: float
    forecast_id: UUID
    status: str
    reference_time: datetime
    data_age_s: float
    radar_coverage: str
    language: Language
    summary: str = Field(description="when it rains, in a sentence")
    next_hour: str | None = Field(description="depth of the next hour in words; null without ensemble members")
    minutes: list[MinuteOut] = Field(description="now, then every lead")
    notes: list[str] = Field(default=[], description="why values are null or not known")
    attribution: str = Field("", description="source of the radar data")
