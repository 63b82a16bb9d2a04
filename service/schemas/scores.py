"""Responses about scores, of one forecast and of a period; their descriptions are those of the OpenAPI document."""

from datetime import datetime
from typing import Literal

from pydantic import Field

from service.schemas.base import Out


class ScoreOut(Out):
    """Counts and scores of one model at one lead and threshold; an undefined score is null."""

    model: str
    lead_minutes: int
    threshold_mmh: float
    hits: int
    misses: int
    false_alarms: int
    correct_negatives: int
    csi: float | None = Field(description="critical success index")
    hss: float | None = Field(description="Heidke skill score")
    pod: float | None = Field(None, description="probability of detection")
    far: float | None = Field(None, description="false-alarm ratio")
    frequency_bias: float | None = Field(None, description="forecast events per observed event")
    scores: dict[str, float | None] = Field(
        default={},
        description="every score of these counts by its registered name (`csi`, `ets`, ...)",
    )
    version: str | None = Field(None, description="version of the model; null if the counts are of several versions")


class VerificationOut(Out):
    """Scores of the model, of persistence and of extrapolation over the same grid cells."""

    kind: Literal["this_forecast", "rolling_24h"] = Field(
        description="`this_forecast` if its verifying observations are stored, else the latest forecasts of the model"
    )
    scores: list[ScoreOut] = Field(description="over all observed grid cells that the newest scan covers")
    scores_known: list[ScoreOut] = Field(
        default=[], description="as `scores`, over the grid cells whose forecast rests on an observation"
    )


class FssOut(Out):
    """Fractions skill score of one model at one lead, threshold and window, from summed parts."""

    model: str
    version: str | None
    lead_minutes: int
    threshold_mmh: float
    window_km: float
    difference: float = Field(description="sum over windows of the squared difference of both fractions")
    worst: float = Field(description="sum over windows of the squares of both fractions")
    windows: int
    fss: float | None = Field(
        description="1 - difference / worst; null if neither forecast nor observation has an event"
    )


class ReliabilityOut(Out):
    """Grid cells whose exceedance probability was in one bin, and how often the threshold was reached."""

    model: str
    version: str | None
    lead_minutes: int
    threshold_mmh: float
    bin: int = Field(ge=0, description="tenth of the probability, 0 to 9")
    cells: int
    events: int
    forecast_probability: float | None = Field(description="mean probability of the grid cells")
    observed_frequency: float | None


class BrierOut(Out):
    """Brier score of the probabilities of one model at one lead and threshold, and its parts (Murphy 1973).

    Each probability counts as the mean of its bin: brier = reliability - resolution + uncertainty.
    """

    model: str
    version: str | None
    lead_minutes: int
    threshold_mmh: float
    cells: int
    events: int
    brier: float = Field(description="0 is perfect")
    reliability: float = Field(
        description="mean squared difference of forecast probability and observed frequency; 0 is perfect"
    )
    resolution: float = Field(description="how well events are separated from non-events; larger is better")
    uncertainty: float = Field(description="the score of a forecast of the mean frequency")
    skill: float | None = Field(description="1 - brier / uncertainty; null if the event occurred never or always")


class ScoreValueOut(Out):
    """Value of one score of one model at one lead that is not computed from the four counts."""

    score: str = Field(description="registered name: `fss`, `crps`, ...")
    model: str
    version: str | None
    lead_minutes: int
    threshold_mmh: float | None = Field(description="null for a score without threshold")
    window_km: float | None = Field(description="edge of the neighbourhood; null for a score without window")
    value: float | None = Field(description="null if undefined")


class RollingOut(Out):
    """Pooled scores of the forecasts of a period."""

    period_hours: float
    model: str | None
    version: str | None = None
    start: datetime = Field(description="valid times after this one")
    until: datetime = Field(description="valid times up to this one")
    scores: list[ScoreOut] = Field(description="over all observed grid cells that the newest scan covers")
    scores_known: list[ScoreOut] = Field(
        default=[], description="as `scores`, over the grid cells whose forecast rests on an observation"
    )
    values: list[ScoreValueOut] = Field(
        default=[],
        description="every other score, over the grid cells of `scores`, whether or not it has a list of its own",
    )
    fss: list[FssOut]
    reliability: list[ReliabilityOut] = Field(description="of forecasts with probabilities")
    brier: list[BrierOut] = Field(default=[], description="of the same forecasts")
