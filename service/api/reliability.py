"""GET /verification/reliability: how often the stated probabilities of a period were right."""

from collections.abc import Sequence
from itertools import groupby
from typing import Final

from fastapi import APIRouter

from service.api.backend import ServiceDep
from service.api.csv_tables import TableRoute, as_table
from service.api.errors import documented
from service.api.models import scored_model
from service.api.verification import (
    HOUR,
    PeriodEnd,
    PeriodHours,
    PeriodStart,
    ScoredMask,
    ScoredModel,
    ScoredVersion,
    start_of,
    why_empty,
)
from service.forecasts.periods import Period, sums_over
from service.schemas.archive import ReliabilityGroupOut, ReliabilityRecordOut, StatedProbabilityOut
from verification.bootstrap import LEAST_OBSERVED_CELLS
from verification.scores.reliability import BINS, ReliabilityBins
from verification.table import SumRow

router = APIRouter(prefix="/verification", tags=["verification"], route_class=TableRoute)

GROUPS_MINUTES: Final = (30, 60, 120)
"""Last lead of each group; the last group has all later leads."""

FAMILY: Final = "reliability"


@router.get(
    "/reliability",
    openapi_extra=as_table("groups.bins", repeat=("model", "mask")),
    summary="How often stated probabilities were right",
    responses=documented(404, 422),
)
def read_reliability(
    service: ServiceDep,
    period_hours: PeriodHours = None,
    start: PeriodStart = None,
    end: PeriodEnd = None,
    model: ScoredModel = None,
    version: ScoredVersion = None,
    mask: ScoredMask = None,
) -> ReliabilityRecordOut:
    """Return the observed frequency by stated probability, for each threshold and group of leads.

    Of the scheduled model unless another one is named; the mask is `all` if omitted.
    """
    name, until = scored_model(service, model or service.settings.model), end or service.now()
    period = Period(start_of(period_hours, start, until), until, name, version)
    chosen = mask or "all"
    rows = sums_over(service.catalogue.engine, period, family=FAMILY, mask=chosen)
    groups = _groups([row for row in rows if row.model == name])
    return ReliabilityRecordOut(
        model=name,
        version=version,
        mask=chosen,
        period_hours=(period.until - period.after) / HOUR,
        start=period.after,
        until=period.until,
        groups=groups,
        empty_because=None if groups else why_empty(service, period),
    )


def _groups(rows: Sequence[SumRow]) -> list[ReliabilityGroupOut]:
    """Return the record by threshold and group of leads, versions added up."""

    def key(row: SumRow) -> tuple[float, int]:
        return row.threshold_mmh or 0.0, sum(row.lead_minutes > last for last in GROUPS_MINUTES)

    return [
        _group(threshold_mmh, list(found))
        for (threshold_mmh, _), found in groupby(sorted(rows, key=lambda row: (*key(row), row.lead_minutes)), key)
    ]


def _group(threshold_mmh: float, rows: Sequence[SumRow]) -> ReliabilityGroupOut:
    sums = ReliabilityBins()
    for row in rows:
        sums = sums + row.sums
    leads = sorted({row.lead_minutes for row in rows})
    return ReliabilityGroupOut(
        threshold_mmh=threshold_mmh,
        from_minutes=leads[0],
        to_minutes=leads[-1],
        lead_minutes=leads,
        cells=sum(sums.cells),
        events=sum(sums.events),
        bins=_bins(sums),
    )


def _bins(sums: ReliabilityBins) -> list[StatedProbabilityOut]:
    filled = [number for number, cells in enumerate(sums.cells) if cells]
    return [
        StatedProbabilityOut(
            from_probability=number / BINS,
            to_probability=(number + 1) / BINS,
            cells=cells,
            events=sums.events[number],
            stated=stated,
            observed=observed,
            enough=cells >= LEAST_OBSERVED_CELLS,
        )
        for number, (stated, observed, cells) in zip(filled, sums.points(), strict=True)
    ]
