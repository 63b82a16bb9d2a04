"""What the REST interface takes and gives, as documented in its OpenAPI page."""

from datetime import datetime
from typing import Annotated, Literal
from uuid import UUID

from pydantic import AfterValidator, BaseModel, ConfigDict, Field

from core.times import utc
from service.schemas.base import Out
from service.schemas.scores import VerificationOut

YEARS = range(1900, 2200)


def _in_utc(time: datetime) -> datetime:
    """Aware UTC, and far enough from the ends of the calendar to count from."""
    if time.year not in YEARS:
        raise ValueError(f"a time in the years {YEARS.start} to {YEARS.stop - 1} was due")
    return utc(time)


Time = Annotated[datetime, AfterValidator(_in_utc)]
RadarCoverage = Literal["ok", "temporarily unavailable", "no coverage"]
Status = Literal["ok", "degraded", "stale"]
Rate = Annotated[float | None, Field(description="mm/h; null is not observed")]
Share = Annotated[float, Field(ge=0, le=1)]
Probability = Annotated[float | None, Field(ge=0, le=1, description="to 0.001; null is not known")]


class Problem(Out):
    """RFC 9457 problem document."""

    model_config = ConfigDict(
        extra="allow",
        json_schema_extra={
            "examples": [
                {
                    "type": "about:blank",
                    "title": "Frames do not fit together",
                    "status": 409,
                    "detail": "4 frames came; 5 frames 30 minutes apart were due",
                    "instance": "/nowcast",
                }
            ]
        },
    )

    type: str = "about:blank"
    title: str
    status: int
    detail: str = Field(description="what came and what was due")
    instance: str


class NowcastRequest(BaseModel):
    """A forecast from the ingested scans."""

    model_config = ConfigDict(extra="forbid")

    reference_time: Time | None = Field(
        None,
        description="the newest input scan, ISO 8601; without a zone it is UTC; null takes the newest there is",
        examples=["2024-06-01T12:00:00Z"],
    )
    model: str = Field("default", max_length=200, description="a name of GET /models")
    verify: bool = Field(True, description="give the scores too")


class ModelOut(Out):
    """Which model made the forecast."""

    name: str
    version: str


class CityOut(Out):
    """A place for orientation, and its cell."""

    name: str
    lat: float
    lon: float
    row: int
    col: int


class GridOut(Out):
    """Where the cells lie; row 0 is the northern one."""

    name: str
    crs: str
    height: int
    width: int
    pixel_x_m: float
    pixel_y_m: float
    west_m: float = Field(description="outer western edge in the projection's unit")
    north_m: float = Field(description="outer northern edge in the projection's unit")
    corners_lon_lat: list[tuple[float, float]] = Field(description="outer corners: NW, NE, SE, SW")
    cities: list[CityOut]


class LeadOut(Out):
    """One forecast field in numbers; null where nothing is covered."""

    valid_time: datetime
    lead_minutes: int
    max: Rate
    mean: Rate
    wet_fraction: float | None = Field(description="share of the covered cells with 0.1 mm/h or more")
    coverage: Share = Field(description="share of the cells that have a value")


class PictureOut(Out):
    """One picture of the row of observed and forecast fields."""

    kind: Literal["observed", "forecast"]
    valid_time: datetime
    lead_minutes: int = Field(description="after the reference time; 0 and below is observed")
    href: str | None = Field(description="null where no scan was there")


class LinksOut(Out):
    """Where the rest of the forecast is."""

    self: str
    file: str = Field(description="the forecast as CF-NetCDF")
    observations: str | None = Field(description="the frames that followed, on the forecast's grid; null before")
    odim: str | None = Field(None, description="the forecast as ODIM_H5")
    geotiff: str | None = Field(None, description="the forecast as cloud-optimised GeoTIFF")
    point: str = Field(description="URI template with lat and lon")
    box: str | None = Field(None, description="URI template with bbox: west,south,east,north")
    area: str | None = Field(None, description="URI template with polygon: WKT or GeoJSON")
    accumulation: str | None = Field(None, description="URI template with lat and lon, or with bbox")
    edr: str | None = Field(None, description="the forecast as an instance of OGC API-EDR")
    probability: str | None = Field(
        None, description="URI template of a picture, with lead and probability_of; null: the forecast has none"
    )
    about: str = Field(description="the model's card: training data and years, scores, limits")
    map: str = Field(description="cities and graticule in picture coordinates")
    pictures: list[PictureOut]


class ForecastOut(Out):
    """A forecast, its age and its scores."""

    forecast_id: UUID
    status: Status = Field(description="stale: the newest scan is too old; degraded: the notes say why")
    stale: bool = Field(description="the reference time is older than a live forecast may be")
    reference_time: datetime = Field(description="valid time of the newest input scan")
    issued_at: datetime
    data_age_s: float = Field(description="age of the newest input scan when this answer was written")
    stale_after_s: float = Field(description="the age from which a forecast is stale")
    invented: bool = Field(description="made from invented weather, not from radar")
    model: ModelOut
    method: str = Field(description="what made the values: the model, or the baseline that stood in for it")
    product: str
    origin: Literal["scans", "upload"]
    notes: list[str]
    grid: GridOut
    radar_coverage: RadarCoverage
    missing_radars: list[str]
    input_times: list[datetime | None] = Field(description="null where no scan was there")
    leads: list[LeadOut]
    probability_thresholds_mmh: list[float] = Field(
        default=[], description="rates whose probabilities the forecast has, ascending; empty: it has none"
    )
    verification: VerificationOut | None
    links: LinksOut


class ProbabilityOut(Out):
    """How probable it is that one cell's rate is at or above a threshold."""

    threshold_mmh: float
    probability: Probability


class PointLeadOut(Out):
    """The rate of one cell at one time."""

    valid_time: datetime
    lead_minutes: int
    rate_mmh: Rate
    known: bool | None = Field(
        default=None,
        description="whether the rate rests on an observation: false where rain can flow in from outside the observed "
        "area, so that 0 does not mean dry; null without a rate, and for forecasts of version 0.1.0",
    )
    probabilities: list[ProbabilityOut] = Field(
        default=[], description="at this time, by threshold; empty where the forecast has none"
    )


class PointOut(Out):
    """The forecast of one place."""

    forecast_id: UUID
    status: Status
    stale: bool
    reference_time: datetime
    data_age_s: float
    model: ModelOut
    lat: float
    lon: float
    row: int | None = Field(description="of the grid, from the north; null off the grid")
    col: int | None = Field(description="of the grid, from the west; null off the grid")
    radar_coverage: RadarCoverage
    series: list[PointLeadOut]
    outlook: Literal["rain", "dry", "unknown"] = Field(description="dry only where every lead is known and dry")
    next_rain_start: datetime | None = Field(description="first lead with rain; null: none, or not known")
    next_rain_end: datetime | None = Field(description="first dry lead after it; null: none, or not known")
    rain_from_mmh: float = Field(description="the rate from which it rains")


class MapLineOut(Out):
    """A meridian or a parallel in picture coordinates (cells from the north-western corner)."""

    label: str
    label_at: tuple[float, float] | None = Field(description="null where there is no room for it")
    anchor: Literal["start", "middle", "end"]
    points: list[tuple[float, float]]


class MapCityOut(Out):
    """A city in picture coordinates."""

    name: str
    x: float
    y: float


class ColourOut(Out):
    """One class of the pictures' colours."""

    from_mmh: float
    colour: str = Field(description="CSS colour")


class ChanceColourOut(Out):
    """One class of the colours of pictures of probability."""

    from_probability: Share
    colour: str = Field(description="CSS colour")


class MapOut(Out):
    """What a picture needs for orientation; x to the east and y to the south, in cells."""

    width: int
    height: int
    cities: list[MapCityOut]
    graticule: list[MapLineOut]
    legend: list[ColourOut] = Field(description="ascending; below the first it is dry")
    probability_legend: list[ChanceColourOut] = Field(
        default=[], description="of pictures with `probability_of`, ascending; below the first it is improbable"
    )
    no_data_colour: str
    attribution: str = Field(description="whose data the pictures are made of")
