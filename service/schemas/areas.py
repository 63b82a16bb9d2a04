"""Answers for boxes, polygons and amounts, as documented in the OpenAPI page."""

from datetime import datetime
from typing import Annotated, Any, Literal
from uuid import UUID

from pydantic import BaseModel, ConfigDict, Field

from service.schemas.base import Out
from service.schemas.forecasts import GridOut, ModelOut, Probability, RadarCoverage, Rate, Share, Status

Depth = Annotated[float | None, Field(description="mm since the reference time; null is unknown")]
Rows = Annotated[
    list[list[float | None]] | None,
    Field(description="by row from the north and column from the west, to 0.001; null is unknown, or off the grid"),
]


class RunOut(Out):
    """Which forecast it is and how old."""

    forecast_id: UUID
    status: Status
    stale: bool
    reference_time: datetime
    data_age_s: float
    model: ModelOut
    radar_coverage: RadarCoverage


class BoxLeadOut(Out):
    """The cells at one time."""

    valid_time: datetime
    lead_minutes: int
    coverage: Share
    rate_mmh: Rows
    probability: Rows = Field(None, description="of `probability_of`, by cell; null without it, or off the grid")


class BoxOut(RunOut):
    """The cells of a box."""

    bbox: tuple[float, float, float, float] = Field(description="as asked: west, south, east, north")
    row: int | None = Field(description="of the first row on the whole grid, from the north; null off the grid")
    col: int | None = Field(description="of the first column on the whole grid, from the west; null off the grid")
    grid: GridOut | None = Field(description="where these cells lie: the smallest rectangle that holds the box")
    probability_of: float | None = Field(None, description="as asked, in mm/h")
    leads: list[BoxLeadOut]


class BoxAmountLeadOut(Out):
    """Depths of the cells until one time."""

    valid_time: datetime
    lead_minutes: int
    coverage: Share
    total_mm: Rows


class BoxAmountOut(RunOut):
    """How much falls on the cells of a box."""

    bbox: tuple[float, float, float, float]
    row: int | None
    col: int | None
    grid: GridOut | None
    rule: str
    leads: list[BoxAmountLeadOut]


class AmountLeadOut(Out):
    """One interval of a place."""

    valid_time: datetime = Field(description="its end")
    lead_minutes: int
    interval_mm: float | None = Field(description="from the snapshot before; null where one of its ends is missing")
    total_mm: Depth


class PlaceAmountOut(RunOut):
    """How much falls at a place."""

    lat: float
    lon: float
    row: int | None
    col: int | None
    rule: str
    analysis_mmh: Rate
    complete: bool = Field(description="false: at least one interval is null, so that more may fall than is told")
    leads: list[AmountLeadOut]


class CellProbabilitiesOut(Out):
    """Probabilities that single cells of a polygon reach a rate.

    Neither number is the probability that it rains anywhere in the polygon: that is at least `largest`.
    """

    threshold_mmh: float
    mean: Probability = Field(description="over the cells, by area: the expected share of the polygon at or above it")
    largest: Probability = Field(description="of the cells: that of the cell where it is most probable")


class AreaLeadOut(Out):
    """A polygon at one time."""

    valid_time: datetime
    lead_minutes: int
    mean_mmh: float | None = Field(description="weighted by the true area in each cell; over what is known")
    min_mmh: Rate
    max_mmh: Rate
    coverage: float = Field(ge=0, le=1, description="known share of the polygon's area, off the grid included")
    total_mm: float | None = Field(description="mean depth since the reference time, over what is known")
    total_coverage: float = Field(ge=0, le=1, description="share of the area whose depth is known")
    cell_probabilities: list[CellProbabilitiesOut] = Field(
        default=[], description="by threshold, over what is known; empty where the forecast has none"
    )


class AreaOut(RunOut):
    """A polygon, such as a catchment."""

    area_km2: float = Field(description="true area on the grid's figure of the Earth")
    cells: int = Field(description="cells that the polygon touches")
    rule: str
    leads: list[AreaLeadOut]


class GeoJson(BaseModel):
    """A GeoJSON Polygon or MultiPolygon, or a Feature that holds one; longitude before latitude."""

    model_config = ConfigDict(
        extra="allow",
        json_schema_extra={
            "examples": [
                {
                    "type": "Polygon",
                    "coordinates": [[[9.2, 50.3], [11.1, 50.4], [10.4, 51.9], [9.2, 50.3]]],
                }
            ]
        },
    )

    type: Literal["Polygon", "MultiPolygon", "Feature"]
    coordinates: list[Any] | None = None
    geometry: dict[str, Any] | None = None
