"""Requests and responses about forecasts; their descriptions are those of the OpenAPI document."""

from datetime import datetime
from typing import Annotated, Literal
from uuid import UUID

from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field

from core.times import utc, with_plus
from service.schemas.base import Out
from service.schemas.scores import VerificationOut

YEARS = range(1900, 2200)


def _in_utc(time: datetime) -> datetime:
    """Return the time in UTC, checked to be far enough from the ends of the calendar for arithmetic."""
    if time.year not in YEARS:
        raise ValueError(f"expected a year from {YEARS.start} to {YEARS.stop - 1}, got {time.year}")
    return utc(time)


def _repaired(value: object) -> object:
    """Return a text with the plus sign of its zone, which queries without escaping turn into a space."""
    return with_plus(value) if isinstance(value, str) else value


Time = Annotated[datetime, BeforeValidator(_repaired), AfterValidator(_in_utc)]
RadarCoverage = Literal["ok", "temporarily unavailable", "no coverage"]
Status = Literal["ok", "degraded", "stale"]
Rate = Annotated[float | None, Field(description="mm/h; null is not observed")]
Share = Annotated[float, Field(ge=0, le=1)]
Probability = Annotated[float | None, Field(ge=0, le=1, description="rounded to 0.001; null is unknown")]


class Problem(Out):
    """An RFC 9457 problem document."""

    model_config = ConfigDict(
        extra="allow",
        json_schema_extra={
            "examples": [
                {
                    "type": "about:blank",
                    "title": "Frames do not fit together",
                    "status": 409,
                    "detail": "expected frames of one product, got RV, RY",
                    "instance": "/nowcast",
                }
            ]
        },
    )

    type: str = "about:blank"
    title: str
    status: int
    detail: str = Field(description="the parameter, what was expected and what was found")
    instance: str


class NowcastRequest(BaseModel):
    """A request for a forecast from ingested scans."""

    model_config = ConfigDict(extra="forbid")

    reference_time: Time | None = Field(
        None,
        description="valid time of the newest input scan, ISO 8601 (UTC without a zone); null for the newest scan",
        examples=["2024-06-01T12:00:00Z"],
    )
    model: str = Field("default", max_length=200, description="a name from GET /models")
    verify: bool = Field(True, description="whether to include scores")


class ModelOut(Out):
    """The model that made the forecast."""

    name: str
    version: str


class RunOut(Out):
    """The forecast, its status and the age of its data."""

    forecast_id: UUID
    status: Status
    stale: bool
    reference_time: datetime
    data_age_s: float
    stale_from: datetime | None = Field(
        None, description="time from which the forecast is stale, by the clock of its scans"
    )
    attribution: str = Field("", description="source of the radar data")
    model: ModelOut


class CityOut(Out):
    """A city for orientation, and its grid cell."""

    name: str
    lat: float
    lon: float
    row: int
    col: int


class GridOut(Out):
    """Projection, size and position of the grid; row 0 is the northernmost."""

    name: str
    crs: str
    height: int
    width: int
    pixel_x_m: float
    pixel_y_m: float
    west_m: float = Field(description="outer western edge in units of the projection")
    north_m: float = Field(description="outer northern edge in units of the projection")
    corners_lon_lat: list[tuple[float, float]] = Field(description="outer corners: NW, NE, SE, SW")
    cities: list[CityOut]


class LeadOut(Out):
    """Statistics of one forecast field; null where no grid cell has data."""

    valid_time: datetime
    lead_minutes: int
    max: Rate
    mean: Rate
    wet_fraction: float | None = Field(description="share of the grid cells with data that have 0.1 mm/h or more")
    coverage: Share = Field(description="share of the grid cells with data")


class PictureOut(Out):
    """One picture of the sequence of observed and forecast fields."""

    kind: Literal["observed", "forecast"]
    valid_time: datetime
    lead_minutes: int = Field(description="minutes after the reference time; 0 or less for observed frames")
    href: str | None = Field(description="null without a scan")


class LinksOut(Out):
    """Links to the parts of the forecast."""

    self: str
    file: str = Field(description="the forecast as CF-NetCDF")
    observations: str | None = Field(
        description="verifying observations on the forecast's grid; null before any is stored"
    )
    odim: str | None = Field(None, description="the forecast as ODIM_H5")
    geotiff: str | None = Field(None, description="the forecast as cloud-optimised GeoTIFF")
    point: str = Field(description="URI template with lat and lon")
    motion: str | None = Field(None, description="URI template with every_km and bbox")
    box: str | None = Field(None, description="URI template with bbox: west,south,east,north")
    area: str | None = Field(None, description="URI template with polygon: WKT or GeoJSON")
    accumulation: str | None = Field(None, description="URI template with lat and lon, or with bbox")
    edr: str | None = Field(None, description="the forecast as an instance of OGC API-EDR")
    probability: str | None = Field(
        None, description="URI template of a picture with lead and probability_of; null without probabilities"
    )
    about: str = Field(description="the model's card: training data and years, scores, limits")
    map: str = Field(description="cities and graticule in picture coordinates")
    pictures: list[PictureOut]


class ForecastOut(Out):
    """A forecast with the age of its data and its scores."""

    forecast_id: UUID
    status: Status = Field(description="`stale`: the newest scan is too old; `degraded`: see `notes`")
    stale: bool = Field(description="whether the reference time is older than a live forecast may be")
    reference_time: datetime = Field(description="valid time of the newest input scan")
    issued_at: datetime
    data_age_s: float = Field(description="age of the newest input scan at the time of this response")
    stale_after_s: float = Field(description="age from which a forecast is stale")
    stale_from: datetime | None = Field(
        None, description="time from which the forecast is stale, by the clock of its scans"
    )
    attribution: str = Field("", description="source of the radar data")
    weather: Literal["observed", "replayed", "invented"] | None = Field(
        None, description="what the scans show; null of an upload, and of an older version of the service"
    )
    invented: bool = Field(description="whether it is made from invented weather instead of radar data")
    model: ModelOut
    method: str = Field(description="what computed the values: the model, or the baseline used as fallback")
    product: str
    origin: Literal["scans", "upload"]
    notes: list[str]
    grid: GridOut
    radar_coverage: RadarCoverage
    missing_radars: list[str]
    input_times: list[datetime | None] = Field(description="null without a scan")
    leads: list[LeadOut]
    probability_thresholds_mmh: list[float] = Field(
        default=[],
        description="thresholds whose exceedance probabilities the forecast has, ascending; empty without any",
    )
    verification: VerificationOut | None
    links: LinksOut


class MapLineOut(Out):
    """A meridian or parallel in picture coordinates (grid cells from the north-western corner)."""

    label: str
    label_at: tuple[float, float] | None = Field(description="null without space for a label")
    anchor: Literal["start", "middle", "end"]
    points: list[tuple[float, float]]


class MapCityOut(Out):
    """A city in picture coordinates."""

    name: str
    x: float
    y: float


class ColourOut(Out):
    """One class of the colours for rain rates."""

    from_mmh: float
    colour: str = Field(description="CSS colour")


class ProbabilityColourOut(Out):
    """One class of the colours for exceedance probabilities."""

    from_probability: Share
    colour: str = Field(description="CSS colour")


class MapOut(Out):
    """Cities, graticule and legend for a picture; x eastwards and y southwards, in grid cells."""

    width: int
    height: int
    cities: list[MapCityOut]
    graticule: list[MapLineOut]
    legend: list[ColourOut] = Field(description="ascending; below the first class it is dry")
    probability_legend: list[ProbabilityColourOut] = Field(
        default=[], description="for pictures with `probability_of`, ascending; below the first class it is improbable"
    )
    no_data_colour: str
    outline_lon_lat: list[tuple[float, float]] = Field(
        default=[], description="the grid's edge in degrees, clockwise; longitudes go on over the antimeridian"
    )
    attribution: str = Field(description="source of the radar data")
