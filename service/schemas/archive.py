"""Responses about the record of earlier forecasts: how often statements were right, and the forecasts of a day."""

from datetime import date, datetime
from uuid import UUID

from pydantic import Field

from service.schemas.base import Out
from service.schemas.scores import CELLS, ENOUGH, OBSERVED_CELLS, MaskName


class StatedProbabilityOut(Out):
    """How often a threshold was reached where a probability within a tenth was stated."""

    from_probability: float
    to_probability: float
    cells: int = Field(description="statements: grid cells, over all times and leads of the group")
    events: int = Field(description="of them, those where the threshold was reached")
    stated: float = Field(description="mean stated probability")
    observed: float = Field(description="observed frequency")
    enough: bool = Field(description="whether `cells` are 2,000 or more; from fewer no record is claimed")


class ReliabilityGroupOut(Out):
    """The record of one threshold over some leads."""

    threshold_mmh: float
    from_minutes: int = Field(description="first lead of the group")
    to_minutes: int = Field(description="last lead of the group")
    lead_minutes: list[int] = Field(description="leads that are counted")
    cells: int
    events: int
    bins: list[StatedProbabilityOut] = Field(description="ascending; tenths without a statement are left out")


class ReliabilityRecordOut(Out):
    """How often the stated probabilities of a period were right.

    A statement is the exceedance probability of one threshold in one grid cell at one valid time; the observation is
    the scan of that time.
    """

    model: str
    version: str | None = Field(description="null: all versions together")
    mask: MaskName
    period_hours: float
    start: datetime = Field(description="valid times after this one")
    until: datetime = Field(description="valid times up to this one")
    groups: list[ReliabilityGroupOut] = Field(description="by threshold, then by lead")
    empty_because: str | None = Field(None, description="why there is no group; null if there are some")


class ArchivedLeadOut(Out):
    """One lead of an earlier forecast: its scores, and the pictures of what was forecast and observed."""

    lead_minutes: int
    valid_time: datetime
    csi: float | None = Field(description="critical success index of the forecast; null if not scored or undefined")
    persistence: float | None = Field(description="that of persistence")
    extrapolation: float | None = Field(description="that of extrapolation")
    cells: int = Field(description=CELLS)
    observed_cells: int = Field(description=OBSERVED_CELLS)
    enough: bool = Field(description=ENOUGH)
    forecast: str = Field(description="picture of the forecast")
    observed: str | None = Field(description="picture of the observation; null before its time")


class ArchivedForecastOut(Out):
    """An earlier forecast."""

    forecast_id: UUID
    reference_time: datetime
    model: str
    version: str
    method: str
    href: str
    leads: list[ArchivedLeadOut]


class ArchiveOut(Out):
    """The forecasts of a day, the newest first."""

    day: date
    time_zone: str = Field(description="IANA name of the zone of the day and of all times")
    model: str
    threshold_mmh: float = Field(description="threshold of the scores")
    forecasts: list[ArchivedForecastOut]
    notes: list[str] = Field(description="why scores are null")
    next: str | None = Field(description="the next page; null on the last")


class RightOut(Out):
    """How many statements were right."""

    cases: int = Field(description="statements")
    right: int = Field(description="of them, those that were right")


class RainEndGroupOut(RightOut):
    """Stated ends of rain within some minutes of the reference time, at places where it rained."""

    from_minutes: int = Field(description="later than this")
    to_minutes: int = Field(description="up to this")


class StatedStartOut(RightOut):
    """Stated starts with a probability within a fifth."""

    from_probability: float
    to_probability: float
    rained: int = Field(description="of the cases, those with rain at any lead")


class RainStartGroupOut(RainEndGroupOut):
    """Stated starts of rain within some minutes of the reference time, at places where it was dry."""

    rained: int = Field(description="of the cases, those with rain at any lead")
    bins: list[StatedStartOut] = Field(description="ascending; fifths without a case are left out")


class RainTimesOut(Out):
    """How often the stated start and end of the next rain were right.

    A statement is `next_rain` of a place, or its outlook `dry`; those of forecasts of full and half hours are counted,
    at 30 x 30 places all over the grid that the radar saw throughout. The observation is the scan of each lead.
    """

    model: str
    version: str | None = Field(description="null: all versions together")
    period_hours: float
    start: datetime = Field(description="last lead valid after this time")
    until: datetime = Field(description="last lead valid up to this time")
    within_minutes: int = Field(description="a start or end is right if it was observed within these minutes")
    rain_from_mmh: float = Field(description="rain rate from which a place counts as wet")
    starts: list[RainStartGroupOut] = Field(description="by minutes; groups without a case are left out")
    ends: list[RainEndGroupOut] = Field(description="by minutes; groups without a case are left out")
    dry: RightOut = Field(description="places whose outlook was dry; right where it stayed dry until the last lead")
    empty_because: str | None = Field(None, description="why there is no statement; null if there are some")
