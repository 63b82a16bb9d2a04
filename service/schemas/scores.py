"""Responses about scores, of one forecast and of a period; their descriptions are those of the OpenAPI document."""

from datetime import datetime
from typing import Final, Literal

from pydantic import Field

from service.schemas.base import Out

MaskName = Literal["all", "known"]

CELLS: Final = "number of scored grid cells, over all times"
OBSERVED_CELLS: Final = "of them, those where the threshold was reached by the observation; all, without a threshold"
ENOUGH: Final = "whether `observed_cells` are 2,000 or more; from fewer no skill is claimed"


class ScoreOut(Out):
    """Counts and scores of one model at one lead and threshold; an undefined score is null."""

    model: str
    lead_minutes: int
    threshold_mmh: float
    hits: int
    misses: int
    false_alarms: int
    correct_negatives: int
    cells: int = Field(0, description=CELLS)
    observed_cells: int = Field(0, description=OBSERVED_CELLS)
    enough: bool = Field(False, description=ENOUGH)
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
    cells: int = Field(0, description=CELLS)
    observed_cells: int = Field(0, description=OBSERVED_CELLS)
    enough: bool = Field(False, description=ENOUGH)


class MeanScoreOut(Out):
    """One score of a model over all leads.

    `pooled` is the score of the sums over leads: a lead with more events has more weight, and a forecast that does well
    at one lead alone may show a high value. `leads` is the mean of the scores of the leads, each with the same weight.
    """

    mean: Literal["pooled", "leads"]
    mask: MaskName = Field(description="grid cells: as in `scores`, or as in `scores_known`")
    score: str = Field(description="registered name: `csi`, `fss`, ...")
    model: str
    version: str | None = Field(description="null if the sums are of several versions")
    threshold_mmh: float | None = Field(description="null for a score without threshold")
    window_km: float | None = Field(description="edge of the neighbourhood; null for a score without window")
    leads: int = Field(description="number of lead times; models are comparable over the same ones")
    value: float | None = Field(description="null if undefined, of `leads` as soon as one lead is")
    cells: int = Field(description=CELLS)
    observed_cells: int = Field(description=OBSERVED_CELLS)
    enough: bool = Field(description=ENOUGH)


class ScheduleOut(Out):
    """How many forecasts the schedule made: one that was not made has no scores and would else not show."""

    model: str
    start: datetime = Field(description="first expected reference time of the period")
    end: datetime = Field(description="last one; a time is expected once no forecast may start from it any more")
    cadence_minutes: float | None = Field(description="spacing of the expected times; null with a single scan")
    expected: int = Field(description="reference times of the schedule, from the first scheduled forecast on")
    made: int = Field(description="of them, those with a forecast made in time")
    missed: int = Field(description="`expected` less `made`: no scan, no service, or a job that failed or was late")


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
    mask: MaskName = Field("all", description="grid cells of the lists below")
    values: list[ScoreValueOut] = Field(
        default=[], description="every other score, whether or not it has a list of its own"
    )
    fss: list[FssOut]
    reliability: list[ReliabilityOut] = Field(description="of forecasts with probabilities")
    brier: list[BrierOut] = Field(default=[], description="of the same forecasts")
    means: list[MeanScoreOut] = Field(
        default=[], description="every score over all leads, in both ways; of both masks unless one is requested"
    )
    schedule: list[ScheduleOut] = Field(
        default=[], description="scheduled forecasts with reference times in the period, by model"
    )
    empty_because: str | None = Field(None, description="why there are no scores; null if there are some")
    next: str | None = Field(None, description="the next page of the lists; null on the last")
