"""Responses about a forecast at places and about the motion of the rain."""

from datetime import datetime
from typing import Annotated, Literal

from pydantic import Field

from service.schemas.base import Out
from service.schemas.forecasts import Probability, RadarCoverage, Rate, RunOut

Quantile = Annotated[
    float | None, Field(description="mm/h, from the exceedance probabilities; null without them or without radar data")
]
Depth = Annotated[float | None, Field(description="mm; null is unknown")]
Minutes = Annotated[int | None, Field(description="minutes after the reference time; null if unknown or not forecast")]


class ProbabilityOut(Out):
    """Exceedance probability of one grid cell for one threshold."""

    threshold_mmh: float
    probability: Probability


class PointLeadOut(Out):
    """The forecast of one grid cell at one time."""

    valid_time: datetime
    lead_minutes: int
    rate_mmh: Rate
    known: bool | None = Field(
        default=None,
        description="whether the rate rests on an observation: false where rain can flow in from outside the observed "
        "area, so that 0 does not mean dry; null without a rate, and for forecasts of version 0.1.0",
    )
    q10: Quantile = None
    q50: Quantile = None
    q90: Quantile = None
    probabilities: list[ProbabilityOut] = Field(
        default=[],
        description="exceedance probabilities at the valid time, by threshold; empty if the forecast has none",
    )


class ObservedNowOut(Out):
    """The newest scan at a place."""

    valid_time: datetime
    rate_mmh: Rate


class NextRainOut(Out):
    """Start and end of the next rain at a place, by lead times; rain that is observed now starts at 0."""

    start_minutes: Minutes
    start_probability: Probability = Field(description="probability of rain at the start; see `basis`")
    end_minutes: Minutes
    end_probability: Probability = Field(description="probability that it is dry at the end; see `basis`")
    basis: Literal["members", "probabilities", "rates"] = Field(
        description="`members`: from ensemble members; start and end are medians, and `start_probability` is that of "
        "rain within 15 minutes of the start; `probabilities`: start and end of the forecast rate, with the exceedance "
        "probability at these times; `rates`: the same without probabilities"
    )


class AmountProbabilityOut(Out):
    """Probability of one depth."""

    threshold_mm: float
    probability: Probability


class AmountOut(Out):
    """Rain amount from the reference time on, from ensemble members."""

    minutes: int = Field(description="length of the period after the reference time")
    q10: Depth
    q50: Depth
    q90: Depth
    probabilities: list[AmountProbabilityOut] = Field(description="probability of at least each depth")


class MotionAtOut(Out):
    """Motion of the rain at a place."""

    speed_kmh: float
    towards_degrees: float = Field(ge=0, le=360, description="direction towards which it moves, clockwise from north")


class PointOut(RunOut):
    """The forecast at one place."""

    lat: float
    lon: float
    time_zone: str = Field("UTC", description="IANA name of the zone of all times, from `tz`")
    place_time_zone: str | None = Field(None, description="IANA name of the zone of the place, as `tz=auto` takes it")
    row: int | None = Field(description="row of the grid, from the north; null outside the grid")
    col: int | None = Field(description="column of the grid, from the west; null outside the grid")
    radar_coverage: RadarCoverage
    observed: ObservedNowOut | None = Field(
        None, description="the newest scan, from which the forecast starts; null if the input is not kept"
    )
    series: list[PointLeadOut]
    outlook: Literal["rain", "dry", "unknown"] = Field(description="`dry` only if every lead is known and dry")
    next_rain_start: datetime | None = Field(description="first lead with rain; null if there is none or it is unknown")
    next_rain_end: datetime | None = Field(
        description="first dry lead after it; null if there is none or it is unknown"
    )
    next_rain: NextRainOut | None = Field(None, description="start and end in minutes, with probabilities")
    amounts: list[AmountOut] | None = Field(None, description="of the next 60 and 120 minutes; null: see `notes`")
    motion: MotionAtOut | None = Field(
        None, description="motion of the rain, observed in the last hour; null without radar data or from baselines"
    )
    rain_from_mmh: float = Field(description="rain rate from which a place counts as wet")
    notes: list[str] = Field(default=[], description="why a field is null or not known")


class MotionVectorOut(MotionAtOut):
    """Motion of the rain at the centre of a coarse cell."""

    lon: float
    lat: float
    eastward_ms: float = Field(description="m/s towards the east")
    northward_ms: float = Field(description="m/s towards the north")


class MotionOut(RunOut):
    """Motion of the rain, as vectors on a coarse grid; areas without radar data have none."""

    every_km: float = Field(
        description="distance of two vectors: the multiple of the stored distance next to `every_km`"
    )
    vectors: list[MotionVectorOut]
    notes: list[str] = Field(default=[], description="why there is no vector")
