"""GET /nowcast/{id}/minutes: the minute forecast of weather apps, with a sentence in English or German."""

from typing import Annotated, Final
from zoneinfo import ZoneInfo

from fastapi import APIRouter, Query

from service.api.backend import Backend, BackendDep
from service.api.csv_tables import TableRoute, as_table
from service.api.errors import documented
from service.api.lookup import ForecastDep, PlacesDep
from service.forecasts.nowcast import StoredForecast
from service.foreign.newest import point_at, rain_probability
from service.queries.zones import zone_at, zone_of
from service.schemas.minutes import MinuteOut, MinutesOut
from service.schemas.places import PointLeadOut, PointOut
from service.schemas.sentence import Language, hour_sum, sentence

router = APIRouter(prefix="/nowcast", tags=["forecasts"], route_class=TableRoute)

AUTO: Final = "auto"


@router.get(
    "/{forecast_id}/minutes",
    openapi_extra=as_table("minutes", repeat=("lat", "lon", "reference_time", "status", "attribution")),
    summary="Minute forecast of a place, or of several",
    response_model=MinutesOut | list[MinutesOut],
    responses=documented(404, 422),
)
def read_minutes(
    forecast: ForecastDep,
    backend: BackendDep,
    places: PlacesDep,
    lang: Annotated[Language, Query(description="language of the sentences", examples=["de"])] = "en",
    tz: Annotated[
        str, Query(description="IANA time zone of all times; `auto` is that of the place", max_length=100)
    ] = "UTC",
) -> MinutesOut | list[MinutesOut]:
    """Return the rain of now and of every lead, with its probability and a sentence; several places make a list."""
    fixed = None if tz == AUTO else zone_of(tz)
    found = [_minutes(backend, forecast, place, fixed or zone_at(*place), lang) for place in places]
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
