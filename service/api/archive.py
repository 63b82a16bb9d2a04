"""GET /verification/archive: the forecasts of a day, how good they were, and pictures of forecast and observation."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta
from typing import Annotated, Final
from zoneinfo import ZoneInfo

from fastapi import APIRouter, Query, Request, Response

from core.errors import InputError
from service.api.backend import ServiceDep
from service.api.csv_tables import TableRoute, as_table
from service.api.errors import documented
from service.api.models import scored_model
from service.api.paging import Cursor, next_link, position_of
from service.api.proxies import public_prefix
from service.api.score_views import cell_fields
from service.forecasts.nowcast import NowcastService, StoredForecast
from service.forecasts.periods import counts_of_forecasts
from service.queries.zones import zone_of
from service.schemas.archive import ArchivedForecastOut, ArchivedLeadOut, ArchiveOut
from service.schemas.forecasts import YEARS
from verification.baselines import BASELINES
from verification.counts import Counts
from verification.scores import values_of

router = APIRouter(prefix="/verification", tags=["verification"], route_class=TableRoute)

USUAL_MMH: Final = 1.0
DAY: Final = timedelta(days=1)
NO_SCORES: Final = (
    "scores of single forecasts are summed by hours 26 hours after their valid time; the document of a forecast "
    "(`href`) counts again where its observations are still stored"
)

CountsKey = tuple[str, str, datetime, str, str, int]


@dataclass(frozen=True)
class ArchiveQuery:
    """What a request selects: the threshold of the scores, the leads, and the zone of the times."""

    threshold_mmh: float
    every_minutes: int
    zone: ZoneInfo


@dataclass(frozen=True)
class DayScores:
    """What is stored about the leads of a day."""

    counts: Mapping[CountsKey, Counts]

    @classmethod
    def of(cls, service: NowcastService, start: datetime, end: datetime, chosen: ArchiveQuery) -> "DayScores":
        """Read the counts of all forecasts with reference times in a day."""
        engine = service.catalogue.engine
        found = counts_of_forecasts(engine, start, end, chosen.threshold_mmh, every_minutes=chosen.every_minutes)
        return cls(
            {
                (one.product, one.grid_key, one.reference_time, *_model(one.model, one.version), one.lead_minutes): (
                    one.counts
                )
                for one in found
            }
        )

    def find(self, forecast: StoredForecast, model: str, lead: int) -> Counts | None:
        """Return the counts of a lead of a forecast's model, or of a baseline of the same window."""
        window = forecast.product, forecast.grid.key, forecast.reference_time
        return self.counts.get((*window, *_model(model, forecast.version), lead))


def _model(name: str, version: str) -> tuple[str, str]:
    """Return what distinguishes models of a window; a baseline has one version."""
    return name, "" if name in BASELINES else version


@router.get(
    "/archive",
    openapi_extra=as_table("forecasts.leads", repeat=("threshold_mmh",)),
    summary="The forecasts of a day and how good they were",
    responses=documented(404, 422),
)
def read_archive(
    service: ServiceDep,
    request: Request,
    response: Response,
    day: Annotated[date | None, Query(description="YYYY-MM-DD; today if omitted", examples=["2024-06-01"])] = None,
    tz: Annotated[str, Query(description="IANA time zone of the day and of all times", max_length=100)] = "UTC",
    model: Annotated[str | None, Query(description="the scheduled model if omitted", max_length=200)] = None,
    threshold_mmh: Annotated[
        float | None,
        Query(gt=0, allow_inf_nan=False, description="threshold of the scores; the one next to 1 mm/h if omitted"),
    ] = None,
    every_minutes: Annotated[int, Query(ge=5, le=180, description="leads that are multiples of it")] = 30,
    limit: Annotated[int, Query(description="maximum number of forecasts per page", ge=1, le=300)] = 100,
    cursor: Cursor = None,
) -> ArchiveOut:
    """Return each forecast of a day with its scores by lead, next to those of both baselines.

    Scores are null until the scan of the lead is stored; they count all observed grid cells of the newest scan.
    """
    zone, name = zone_of(tz), scored_model(service, model or service.settings.model)
    chosen, start, end = _bounds(day or service.now().astimezone(zone).date(), zone)
    wanted = ArchiveQuery(_threshold(service, threshold_mmh), every_minutes, zone)
    found = service.list(model=name, origin="scans", start=start, end=end, after=position_of(cursor), limit=limit + 1)
    position = (found[limit - 1].reference_time, found[limit - 1].id) if len(found) > limit else None
    scores = DayScores.of(service, start, end, wanted)
    return ArchiveOut(
        day=chosen,
        time_zone=zone.key,
        model=name,
        threshold_mmh=wanted.threshold_mmh,
        forecasts=[_forecast(service, one, scores, wanted) for one in found[:limit]],
        notes=[] if scores.counts or not found else [NO_SCORES],
        next=next_link(request, response, position),
    )


def _bounds(day: date, zone: ZoneInfo) -> tuple[date, datetime, datetime]:
    """Return a day, and its first and last moment in UTC.

    Raises:
        InputError: too far from the present for arithmetic.
    """
    if day.year not in YEARS:
        raise InputError(f"day: expected a year from {YEARS.start} to {YEARS.stop - 1}, got {day.year}")
    start, after = (datetime.combine(one, time(), zone).astimezone(UTC) for one in (day, day + DAY))
    return day, start, after - timedelta(microseconds=1)


def _threshold(service: NowcastService, wanted: float | None) -> float:
    known = service.settings.thresholds_mmh
    nearest = min(known, key=lambda mmh: abs(mmh - (wanted or USUAL_MMH)))
    if wanted is not None and abs(nearest - wanted) > 1e-6:
        raise InputError(f"threshold_mmh: expected one of {', '.join(f'{mmh:g}' for mmh in known)}, got {wanted:g}")
    return nearest


def _forecast(
    service: NowcastService, forecast: StoredForecast, scores: DayScores, wanted: ArchiveQuery
) -> ArchivedForecastOut:
    now, here = service.now(), f"{public_prefix()}/nowcast/{forecast.id}"
    leads = [lead for lead in forecast.lead_minutes if lead % wanted.every_minutes == 0]
    return ArchivedForecastOut.of(
        forecast,
        forecast_id=forecast.id,
        reference_time=forecast.reference_time.astimezone(wanted.zone),
        href=here,
        leads=[_lead(forecast, lead, scores, here, now, wanted.zone) for lead in leads],
    )


def _lead(
    forecast: StoredForecast, lead: int, scores: DayScores, here: str, now: datetime, zone: ZoneInfo
) -> ArchivedLeadOut:
    valid_time = forecast.reference_time + timedelta(minutes=lead)
    counts = scores.find(forecast, forecast.model, lead)
    cells = counts or Counts()
    return ArchivedLeadOut(
        lead_minutes=lead,
        valid_time=valid_time.astimezone(zone),
        csi=_csi(counts),
        persistence=_csi(scores.find(forecast, "persistence", lead)),
        extrapolation=_csi(scores.find(forecast, "extrapolation", lead)),
        **cell_fields(cells.total, cells.hits + cells.misses),
        forecast=f"{here}/image/{lead}.png",
        observed=f"{here}/observations/{lead}.png" if valid_time <= now else None,
    )


def _csi(counts: Counts | None) -> float | None:
    return None if counts is None else values_of(counts, "counts")["csi"]
