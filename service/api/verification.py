"""GET /verification: the scores of a period."""

from dataclasses import asdict
from datetime import datetime, timedelta
from typing import Annotated, Any

from fastapi import APIRouter, Query

from core.errors import InputError
from core.times import iso
from service.api.backend import ServiceDep
from service.api.errors import documented
from service.api.models import scored_model
from service.api.views import score_rows
from service.forecasts.periods import Period, sums_over
from service.schemas.forecasts import Time
from service.schemas.scores import BrierOut, FssOut, ReliabilityOut, RollingOut, ScoreValueOut
from verification.scores import values_of
from verification.scores.fss import FractionSums
from verification.scores.reliability import ReliabilityBins
from verification.sums import PPM
from verification.table import SumRow, of_family

router = APIRouter(tags=["verification"])
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


@router.get("/verification", summary="Scores of a period", responses=documented(404, 422))
def read_verification(
    service: ServiceDep,
    period_hours: PeriodHours = None,
    start: PeriodStart = None,
    end: PeriodEnd = None,
    model: ScoredModel = None,
    version: ScoredVersion = None,
) -> RollingOut:
    """Return sums by model, version, lead and threshold, and their scores; empty before the first observed lead.

    Sums older than 7 days are kept by hour, those older than 90 days by day (UTC). A period there is exact if it starts
    and ends at a full hour, or at 00:00 UTC; else an hour or a day belongs to the period that contains its end.
    """
    if model is not None:
        model = scored_model(service, model)
    until = end or service.now()
    period = Period(_start(period_hours, start, until), until, model, version)
    rows = sums_over(service.catalogue.engine, period)
    return RollingOut(
        period_hours=(until - period.after) / HOUR,
        model=model,
        version=version,
        start=period.after,
        until=until,
        scores=score_rows(of_family(rows, "counts")),
        scores_known=score_rows(of_family(rows, "counts", "known")),
        values=[one for row in rows if row.mask == "all" and row.family != "counts" for one in _values(row)],
        fss=[_fss(row, row.sums) for row in of_family(rows, "fss") if isinstance(row.sums, FractionSums)],
        reliability=[one for row in of_family(rows, "reliability") for one in _bins(row)],
        brier=[one for row in of_family(rows, "reliability") for one in _brier(row)],
    )


def _start(period_hours: float | None, start: datetime | None, until: datetime) -> datetime:
    if start is None:
        return until - HOUR * (period_hours or 24.0)
    if period_hours is not None:
        raise InputError(
            f"expected either period_hours or start, got period_hours={period_hours:g} and start={iso(start)}"
        )
    if start >= until:
        raise InputError(f"start: expected a time before the end, {iso(until)}, got {iso(start)}")
    return start


def _key(row: SumRow) -> dict[str, Any]:
    return {name: getattr(row, name) for name in ("model", "version", "lead_minutes", "threshold_mmh")}


def _values(row: SumRow) -> list[ScoreValueOut]:
    scores = values_of(row.sums, row.family)
    return [ScoreValueOut(**_key(row), score=name, window_km=row.window_km, value=one) for name, one in scores.items()]


def _fss(row: SumRow, sums: FractionSums) -> FssOut:
    value = values_of(sums, row.family)["fss"]
    return FssOut(
        **_key(row),
        window_km=row.window_km or 0.0,
        difference=sums.difference,
        worst=sums.worst,
        windows=sums.windows,
        fss=value,
    )


def _bins(row: SumRow) -> list[ReliabilityOut]:
    return [
        ReliabilityOut(
            **_key(row),
            bin=number or 0,
            cells=cells,
            events=events,
            forecast_probability=ppm / PPM / cells,
            observed_frequency=events / cells,
        )
        for number, (cells, events, ppm) in row.sums.rows()
    ]


def _brier(row: SumRow) -> list[BrierOut]:
    """Return one row, or none without a grid cell."""
    parts = row.sums.brier_parts() if isinstance(row.sums, ReliabilityBins) else None
    if parts is None:
        return []
    return [BrierOut(**_key(row), **asdict(parts), brier=parts.brier, skill=parts.skill)]
