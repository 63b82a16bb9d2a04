"""GET /verification/rain-times: how often the stated start and end of rain were right."""

from collections.abc import Callable
from functools import reduce
from operator import add
from typing import Annotated, Literal, TypeVar

from fastapi import APIRouter, Query

from service.api.backend import ServiceDep
from service.api.csv_tables import TableRoute, as_table
from service.api.errors import documented
from service.api.models import scored_model
from service.api.verification import HOUR, PeriodEnd, PeriodHours, PeriodStart, ScoredModel, ScoredVersion, start_of
from service.forecasts.periods import Period, sums_over
from service.queries.rain import RAIN_MMH
from service.schemas.archive import RainEndGroupOut, RainStartGroupOut, RainTimesOut, RightOut, StatedStartOut
from verification.rain_times import (
    DRY,
    ENDS,
    FAMILY,
    FIFTHS,
    GROUPS_MINUTES,
    TOLERANCE_MINUTES,
    RainTimes,
    start_bins,
)

router = APIRouter(prefix="/verification", tags=["verification"], route_class=TableRoute)
Group = TypeVar("Group", bound=RightOut)
EMPTY = (
    "no statement of the period is verified yet: those of a forecast of a full or half hour are counted once the scans "
    "of all of its leads are stored"
)


@router.get(
    "/rain-times",
    openapi_extra=as_table("starts", repeat=("model",)),
    summary="How often the stated start and end of rain were right",
    responses=documented(404, 422),
)
def read_rain_times(
    service: ServiceDep,
    period_hours: PeriodHours = None,
    start: PeriodStart = None,
    end: PeriodEnd = None,
    model: ScoredModel = None,
    version: ScoredVersion = None,
    table: Annotated[
        Literal["starts", "ends"], Query(description="list that is the table with `Accept: text/csv`")
    ] = "starts",
) -> RainTimesOut:
    """Return how often starts, ends and dry outlooks were right, with the number of cases.

    Of the scheduled model unless another one is named.
    """
    del table
    name, until = scored_model(service, model or service.settings.model), end or service.now()
    period = Period(start_of(period_hours, start, until), until, name, version)
    rows = [row for row in sums_over(service.catalogue.engine, period, family=FAMILY) if row.model == name]
    sums = reduce(add, (row.sums for row in rows), RainTimes())
    cases, right, _ = sums.total([DRY])
    return RainTimesOut(
        model=name,
        version=version,
        period_hours=(period.until - period.after) / HOUR,
        start=period.after,
        until=period.until,
        within_minutes=TOLERANCE_MINUTES,
        rain_from_mmh=RAIN_MMH,
        starts=_groups(lambda group: _starts(sums, group)),
        ends=_groups(lambda group: _ends(sums, group)),
        dry=RightOut(cases=cases, right=right),
        empty_because=None if any(sums.cases) else EMPTY,
    )


def _groups(of: Callable[[int], Group]) -> list[Group]:
    found = [of(group) for group in range(len(GROUPS_MINUTES))]
    return [one for one in found if one.cases]


def _minutes(group: int) -> dict[str, int]:
    return {"from_minutes": GROUPS_MINUTES[group - 1] if group else 0, "to_minutes": GROUPS_MINUTES[group]}


def _starts(sums: RainTimes, group: int) -> RainStartGroupOut:
    bins = start_bins(group)
    cases, right, rained = sums.total(bins)
    fifths = [
        StatedStartOut(
            from_probability=fifth / FIFTHS,
            to_probability=(fifth + 1) / FIFTHS,
            cases=sums.cases[number],
            right=sums.right[number],
            rained=sums.rained[number],
        )
        for fifth, number in enumerate(bins[:FIFTHS])
        if sums.cases[number]
    ]
    return RainStartGroupOut(**_minutes(group), cases=cases, right=right, rained=rained, bins=fifths)


def _ends(sums: RainTimes, group: int) -> RainEndGroupOut:
    cases, right, _ = sums.total([ENDS + group])
    return RainEndGroupOut(**_minutes(group), cases=cases, right=right)
