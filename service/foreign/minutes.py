"""GET /nowcast/{id}/minutes: the minute forecast of weather apps, with a sentence in English or German."""

from datetime import datetime
from typing import Annotated
from uuid import UUID
from zoneinfo import ZoneInfo

from fastapi import APIRouter, Query
from pydantic import Field

from service.api.backend import Backend, BackendDep
from service.api.errors import documented
from service.api.lookup import ForecastDep, PlacesDep
from service.forecasts.nowcast import StoredForecast
from service.foreign.newest import point_at, rain_probability
from service.queries.zones import zone_of
from service.schemas.base import Out
from service.schemas.places import PointLeadOut, PointOut
from service.schemas.sentence import Language, hour_sum, sentence

router = APIRouter(prefix="/nowcast", tags=["forecasts"])


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


@router.get(
    "/{forecast_id}/minutes",
    summary="Minute forecast of a place, or of several",
    response_model=MinutesOut | list[MinutesOut],
    responses=documented(404, 422),
)
def read_minutes(
    forecast: ForecastDep,
    backend: BackendDep,
    places: PlacesDep,
    lang: Annotated[Language, Query(description="language of the sentences", examples=["de"])] = "en",
    tz: Annotated[str, Query(description="IANA time zone of all times", max_length=100)] = "UTC",
) -> MinutesOut | list[MinutesOut]:
    """Return the rain of now and of every lead, with its probability and a sentence; several places make a list."""
    zone = zone_of(tz)
    found = [_minutes(backend, forecast, place, zone, lang) for place in places]
    return found[0] if len(found) == 1 else found


def _minutes(
    backend: Backend, forecast: StoredForecast, place: tuple[float, float], zone: ZoneInfo, language: Language
) -> MinutesOut:
    point = point_at(backend, forecast, *place, zone)
    return MinutesOut.of(
        point,
        language=language,
        summary=sentence(point, language),
        next_hour=hour_sum(point, language),
        minutes=[*_now(point), *(_lead(lead) for lead in point.series)],
    )


def _now(point: PointOut) -> list[MinuteOut]:
    if point.observed is None:
        return []
    rate = point.observed.rate_mmh
    chance = None if rate is None else float(rate >= point.rain_from_mmh)
    now = {"time": point.observed.valid_time, "minutes": 0, "intensity_mmh": rate}
    return [MinuteOut.model_validate({**now, "probability": chance, "known": None if rate is None else True})]


def _lead(lead: PointLeadOut) -> MinuteOut:
    return MinuteOut(
        time=lead.valid_time,
        minutes=lead.lead_minutes,
        intensity_mmh=lead.rate_mmh,
        probability=rain_probability(lead),
        known=lead.known,
    )
