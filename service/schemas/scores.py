"""Answers about scores, of one forecast and of a period, as documented in the OpenAPI page."""

from datetime import datetime
from typing import Literal

from pydantic import Field

from service.schemas.base import Out


class ScoreOut(Out):
    """Counts and scores of one model at one lead and threshold; a score that is undefined is null."""

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
    frequency_bias: float | None = Field(None, description="forecast events per observed one")
    scores: dict[str, float | None] = Field(
        default={},
        description="every score of these counts by its registered name (`csi`, `ets`, ...)",
    )
    version: str | None = Field(None, description="of the model; null where the counts are of several")


class VerificationOut(Out):
    """Scores of the model, of persistence and of extrapolation over the same cells."""

    kind: Literal["this_forecast", "rolling_24h"] = Field(
        description="of this forecast where the frames that followed are there, else of the latest forecasts"
    )
    scores: list[ScoreOut] = Field(description="over all grid cells that were observed and that the newest scan covers")
    scores_known: list[ScoreOut] = Field(
        default=[], description="over those of them whose forecast rests on something observed"
    )


class FssOut(Out):
    """Fractions skill score of one model at one lead, threshold and window, from its summed parts."""

    model: str
    version: str | None
    lead_minutes: int
    threshold_mmh: float
    window_km: float
    difference: float = Field(description="sum over windows of the squared difference of both fractions")
    worst: float = Field(description="sum over windows of the squares of both fractions")
    windows: int
    fss: float | None = Field(description="1 - difference / worst; null where neither side has an event")


class ReliabilityOut(Out):
    """Cells whose probability of exceedance lay in one bin, and how often the threshold was reached."""

    model: str
    version: str | None
    lead_minutes: int
    threshold_mmh: float
    bin: int = Field(ge=0, description="tenth of the probability, 0 to 9")
    cells: int
    events: int
    forecast_probability: float | None = Field(description="mean probability of the cells")
    observed_frequency: float | None


class BrierOut(Out):
    """The Brier score of the probabilities of one model at one lead and threshold, and its parts (Murphy 1973).

    Each probability counts as the mean of its tenth: brier = reliability - resolution + uncertainty.
    """

    model: str
    version: str | None
    lead_minutes: int
    threshold_mmh: float
    cells: int
    events: int
    brier: float = Field(description="0 is perfect")
    reliability: float = Field(description="mean squared distance of what was said from what came; 0 is perfect")
    resolution: float = Field(description="how well wet cells are told from dry ones; the more the better")
    uncertainty: float = Field(description="the score of who always says the mean frequency")
    skill: float | None = Field(description="1 - brier / uncertainty; null where the event came never or always")


class ScoreValueOut(Out):
    """The value of one score that is not taken from the four counts, of one model at one lead."""

    score: str = Field(description="its registered name: `fss`, `crps`, ...")
    model: str
    version: str | None
    lead_minutes: int
    threshold_mmh: float | None = Field(description="null for a score without one")
    window_km: float | None = Field(description="edge of the neighbourhood; null for a score without one")
    value: float | None = Field(description="null where it is undefined")


class RollingOut(Out):
    """Pooled scores of the forecasts of a period."""

    period_hours: float
    model: str | None
    version: str | None = None
    start: datetime = Field(description="valid times after this one")
    until: datetime = Field(description="and up to this one")
    scores: list[ScoreOut] = Field(description="over all grid cells that were observed and that the newest scan covers")
    scores_known: list[ScoreOut] = Field(
        default=[], description="over those of them whose forecast rests on something observed"
    )
    values: list[ScoreValueOut] = Field(
        default=[], description="every other score, over the cells of `scores`: one without a list of its own, too"
    )
    fss: list[FssOut]
    reliability: list[ReliabilityOut] = Field(description="of forecasts that hold probabilities")
    brier: list[BrierOut] = Field(default=[], description="of the same forecasts")
