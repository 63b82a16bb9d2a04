"""GET /verification: the scores of a period."""

from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import Annotated, Final, Literal, get_args

from fastapi import APIRouter, Query, Request, Response

from core.errors import InputError, shown
from core.times import iso
from service.api.backend import ServiceDep
from service.api.csv_tables import TableRoute, as_table
from service.api.errors import documented
from service.api.models import scored_model
from service.api.paging import Cursor, next_link, position_of
from service.api.score_views import (
    CellCounts,
    brier_rows,
    fss_rows,
    mean_rows,
    reliability_rows,
    score_rows,
    value_rows,
)
from service.forecasts.nowcast import NowcastService
from service.forecasts.periods import Period, sums_over
from service.schemas.forecasts import Time
from service.schemas.scores import RollingOut, ScheduleOut
from verification.table import MASKS, Mask, SumRow, of_family

router = APIRouter(tags=["verification"], route_class=TableRoute)
HOUR = timedelta(hours=1)

PeriodHours = Annotated[
    float | None,
    Query(gt=0, le=24 * 366, description="length of the period before `end`: 24 (default), 168, 720, ..."),
]
PeriodStart = Annotated[Time | None, Query(description="valid times after this one, instead of `period_hours`")]
PeriodEnd = Annotated[
    Time | None, Query(description="last valid time; now (or the newest data of a replay) if omitted")
]
ScoredModel = Annotated[
    str | None,
    Query(description="only this model, with both baselines over the same forecasts; all models if omitted"),
]
ScoredVersion = Annotated[
    str | None, Query(max_length=200, description="version of the model; all versions if omitted")
]
ScoredMask = Annotated[
    Mask | None,
    Query(
        description="`all`: observed grid cells that the newest scan covers; `known`: of them, those whose forecast "
        "rests on an observation. If omitted, `scores`, `scores_known` and `means` have both, the other lists `all`"
    ),
]

ScoreTable = Annotated[
    Literal["scores", "scores_known", "values", "fss", "reliability", "brier", "means", "schedule"],
    Query(description="list that is the table with `Accept: text/csv`"),
]
TABLES: Final[tuple[str, ...]] = get_args(get_args(ScoreTable)[0])
PageRows = Annotated[int, Query(description="maximum number of rows of each list per page", ge=1, le=20_000)]


@router.get(
    "/verification", openapi_extra=as_table("scores"), summary="Scores of a period", responses=documented(404, 422)
)
def read_verification(
    service: ServiceDep,
    request: Request,
    response: Response,
    period_hours: PeriodHours = None,
    start: PeriodStart = None,
    end: PeriodEnd = None,
    model: ScoredModel = None,
    version: ScoredVersion = None,
    mask: ScoredMask = None,
    limit: PageRows = 5000,
    cursor: Cursor = None,
    table: ScoreTable = "scores",
) -> RollingOut:
    """Return sums by model, version, lead and threshold, and their scores; empty before the first observed lead.

    A page has the same part of every list. The next one is of the same period, whatever was scored meanwhile is added.

    Sums older than 26 hours are kept by hour, those older than 90 days by day (UTC). A period there is exact if it
    starts and ends at a full hour, or at 00:00 UTC; else an hour or a day belongs to the period that contains its end.
    """
    if model is not None:
        model = scored_model(service, model)
    del table  # the list of the table, which the route takes from the whole answer
    until, first = _position(cursor, end or service.now())
    period = Period(start_of(period_hours, start, until), until, model, version)
    whole = _rolling(service, period, sums_over(service.catalogue.engine, period), mask)
    lists = {name: getattr(whole, name)[first : first + limit] for name in TABLES}
    is_more = any(len(getattr(whole, name)) > first + limit for name in TABLES)
    link = next_link(request, response, (until, str(first + limit)) if is_more else None)
    return whole.model_copy(update={**lists, "next": link})


def _position(cursor: str | None, until: datetime) -> tuple[datetime, int]:
    """Return the end of the period and the first row of a page.

    Raises:
        InputError: not a cursor of this list.
    """
    position = position_of(cursor)
    if position is None:
        return until, 0
    if not (position[1].isascii() and position[1].isdigit()):
        raise InputError(f"cursor: expected one from a link `next` of /verification, got {shown(cursor)}")
    return position[0], int(position[1])


def _rolling(service: NowcastService, period: Period, rows: Sequence[SumRow], mask: Mask | None) -> RollingOut:
    masks: Sequence[Mask] = MASKS if mask is None else (mask,)
    scores = {one: of_family(rows, "counts", one) if one in masks else [] for one in MASKS}
    cells, detailed = CellCounts(rows), masks[0]
    return RollingOut(
        period_hours=(period.until - period.after) / HOUR,
        model=period.model,
        version=period.version,
        start=period.after,
        until=period.until,
        scores=score_rows(scores["all"]),
        scores_known=score_rows(scores["known"]),
        mask=detailed,
        values=value_rows(rows, detailed, cells),
        fss=fss_rows(rows, detailed),
        reliability=reliability_rows(rows, detailed),
        brier=brier_rows(rows, detailed),
        means=mean_rows(rows, masks, cells),
        schedule=[ScheduleOut.of(one) for one in service.schedule.counts(period)],
        empty_because=None if any(scores.values()) else why_empty(service, period),
    )


def why_empty(service: NowcastService, period: Period) -> str:
    """Return why a period has no scores, with the times that decide it."""
    found = service.list(model=period.model, origin="scans", limit=1)
    of_model = f" of {period.model}" if period.model else ""
    if not found:
        return f"no forecast{of_model} from stored scans exists yet"
    newest = found[0]
    return (
        f"no lead{of_model} valid after {iso(period.after)} and up to {iso(period.until)} is scored: a lead is scored "
        f"once the scan of its time is stored; the newest forecast is of {iso(newest.reference_time)}, and its first "
        f"lead is valid at {iso(newest.valid_times[0])}"
    )


def start_of(period_hours: float | None, start: datetime | None, until: datetime) -> datetime:
    """Return the start of a period.

    Raises:
        InputError: two starts, or one that is not before the end.
    """
    if start is None:
        return until - HOUR * (period_hours or 24.0)
    if period_hours is not None:
        raise InputError(
            f"expected either period_hours or start, got period_hours={period_hours:g} and start={iso(start)}"
        )
    if start >= until:
        raise InputError(f"start: expected a time before the end, {iso(until)}, got {iso(start)}")
    return start
