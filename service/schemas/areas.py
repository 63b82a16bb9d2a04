"""Documents of boxes, polygons and rain amounts."""

from datetime import datetime
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field

from service.schemas.base import Out
from service.schemas.forecasts import GridOut, Probability, RadarCoverage, Rate, RunOut, Share

Depth = Annotated[float | None, Field(description="mm since the reference time; null is unknown")]
Rows = Annotated[
    list[list[float | None]] | None,
    Field(
        description="rows from the north, columns from the west, rounded to 0.001; null is unknown or outside the grid"
    ),
]


class AreaRunOut(RunOut):
    """The forecast behind a box or an area, and its coverage by radars."""

    radar_coverage: RadarCoverage
    notes: list[str] = Field(default=[], description="why parts of this response are null or empty")


class BoxLeadOut(Out):
    """The grid cells of a box at one time."""

    valid_time: datetime
    lead_minutes: int
    coverage: Share
    rate_mmh: Rows
    probability: Rows = Field(
        None,
        description="exceedance probability of the threshold `probability_of`; null without it, or outside the grid",
    )


class BoxOut(AreaRunOut):
    """Rain rates of the grid cells of a box."""

    bbox: tuple[float, float, float, float] = Field(description="as requested: west, south, east, north")
    row: int | None = Field(
        description="index of the first row on the whole grid, from the north; null outside the grid"
    )
    col: int | None = Field(
        description="index of the first column on the whole grid, from the west; null outside the grid"
    )
    grid: GridOut | None = Field(description="grid of these cells: the smallest rectangle that contains the box")
    probability_of: float | None = Field(None, description="threshold as requested, in mm/h")
    leads: list[BoxLeadOut]


class BoxAmountLeadOut(Out):
    """Rain depths of the grid cells from the reference time to one lead."""

    valid_time: datetime
    lead_minutes: int
    coverage: Share
    total_mm: Rows


class BoxAmountOut(AreaRunOut):
    """Accumulated rain of the grid cells of a box."""

    bbox: tuple[float, float, float, float]
    row: int | None
    col: int | None
    grid: GridOut | None
    rule: str
    leads: list[BoxAmountLeadOut]


class AmountLeadOut(Out):
    """The rain depth of one interval at a place."""

    valid_time: datetime = Field(description="end of the interval")
    lead_minutes: int
    interval_mm: float | None = Field(
        description="depth since the previous snapshot; null if one of the two is missing"
    )
    total_mm: Depth


class PlaceAmountOut(AreaRunOut):
    """Accumulated rain at a place."""

    lat: float
    lon: float
    row: int | None
    col: int | None
    rule: str
    analysis_mmh: Rate
    complete: bool = Field(description="false: at least one interval is null, so that the amount may be larger")
    leads: list[AmountLeadOut]


class CellProbabilitiesOut(Out):
    """Exceedance probabilities of single grid cells of a polygon.

    Neither number is the probability of rain anywhere in the polygon, which is at least `largest`.
    """

    threshold_mmh: float
    mean: Probability = Field(
        description="mean over the grid cells by area: the expected share of the polygon at or above the threshold"
    )
    largest: Probability = Field(description="largest probability of a single grid cell")


class AreaShareOut(Out):
    """Probability that at least a share of a polygon is at or above a rate."""

    threshold_mmh: float
    share: float = Field(gt=0, le=1, description="share of the polygon's area with data")
    probability: Probability = Field(description="share of the ensemble members, so in steps of 1 / `members`")


class DepthQuantilesOut(Out):
    """Quantiles over the ensemble members of a polygon's mean depth."""

    q10: float
    q50: float
    q90: float


class AreaLeadOut(Out):
    """A polygon at one time."""

    valid_time: datetime
    lead_minutes: int
    mean_mmh: float | None = Field(description="mean over the grid cells with data, weighted by true area")
    min_mmh: Rate
    max_mmh: Rate
    coverage: float = Field(
        ge=0, le=1, description="share of the polygon's area with data; parts outside the grid count as without"
    )
    total_mm: float | None = Field(description="mean depth since the reference time, over the grid cells with data")
    total_coverage: float = Field(ge=0, le=1, description="share of the area with a known depth")
    cell_probabilities: list[CellProbabilitiesOut] = Field(
        default=[], description="by threshold, over the grid cells with data; empty if the forecast has none"
    )
    area_probabilities: list[AreaShareOut] = Field(
        default=[], description="by threshold and `share`, from ensemble members; empty without them"
    )
    total_quantiles_mm: DepthQuantilesOut | None = Field(
        None, description="quantiles of `total_mm` over the ensemble members; null without them, or where not known"
    )


class AreaOut(AreaRunOut):
    """A forecast over a polygon, for instance a catchment."""

    area_km2: float = Field(description="true area on the grid's ellipsoid")
    cells: int = Field(description="number of grid cells that the polygon touches")
    members: int | None = Field(None, description="number of ensemble members; null where there are none (yet)")
    rule: str
    leads: list[AreaLeadOut]


class GeoJson(BaseModel):
    """A GeoJSON Polygon or MultiPolygon, or a Feature of one; longitude before latitude."""

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
