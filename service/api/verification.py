"""GET /verification: how good the forecasts of a period were."""

from datetime import datetime, timedelta
from typing import Annotated

from fastapi import APIRouter, Query

from core.errors import InputError
from core.times import iso
from service.api.backend import ServiceDep
from service.api.errors import documented
from service.api.models import scored_model
from service.api.views import score_rows
from service.forecasts.periods import Period, counts_over, fractions_over, reliability_over
from service.schemas.forecasts import Time
from service.schemas.listings import BrierOut, FssOut, ReliabilityOut, RollingOut
from verification.fractions import FractionsOf
from verification.reliability import BrierParts, ReliabilityRow, brier_table

router = APIRouter(tags=["verification"])
HOUR = timedelta(hours=1)


@router.get("/verification", summary="Scores of a period", responses=documented(404, 422))
def read_verification(
    service: ServiceDep,
    period_hours: Annotated[
        float | None, Query(gt=0, le=24 * 366, description="back from `end`: 24 (the default), 168, 720, ...")
    ] = None,
    start: Annotated[Time | None, Query(description="valid times after this one, instead of `period_hours`")] = None,
    end: Annotated[Time | None, Query(description="last valid time; none is the newest data's")] = None,
    model: Annotated[str | None, Query(description="with both baselines over its very forecasts; none is all")] = None,
    version: Annotated[str | None, Query(max_length=200, description="of the model; none is every version")] = None,
) -> RollingOut:
    """Sums by model, version, lead and threshold, and their scores; empty before a first forecast is of age."""
    if model is not None:
        model = scored_model(service, model)
    until = end or service.now()
    period = Period(_start(period_hours, start, until), until, model, version)
    engine = service.catalogue.engine
    bins = reliability_over(engine, period)
    return RollingOut(
        period_hours=(until - period.after) / HOUR,
        model=model,
        version=version,
        start=period.after,
        until=until,
        scores=score_rows(counts_over(engine, period)),
        fss=[_fss(row) for row in fractions_over(engine, period)],
        reliability=[_bin(row) for row in bins],
        brier=[_brier(row) for row in brier_table(bins)],
    )


def _start(period_hours: float | None, start: datetime | None, until: datetime) -> datetime:
    if start is None:
        return until - HOUR * (period_hours or 24.0)
    if period_hours is not None:
        raise InputError(f"period_hours={period_hours:g} and start={iso(start)} came; one of them was due")
    if start >= until:
        raise InputError(f"a period from {iso(start)} to {iso(until)} came; a start before the end was due")
    return start


def _fss(row: FractionsOf) -> FssOut:
    return FssOut(
        model=row.model,
        version=row.version,
        lead_minutes=row.lead_minutes,
        threshold_mmh=row.threshold_mmh,
        window_km=row.window_km,
        difference=row.sums.difference,
        worst=row.sums.worst,
        windows=row.sums.windows,
        fss=row.fss,
    )


def _bin(row: ReliabilityRow) -> ReliabilityOut:
    return ReliabilityOut(
        model=row.model,
        version=row.version,
        lead_minutes=row.lead_minutes,
        threshold_mmh=row.threshold_mmh,
        bin=row.bin.number,
        cells=row.bin.cells,
        events=row.bin.events,
        forecast_probability=row.bin.forecast_probability,
        observed_frequency=row.bin.observed_frequency,
    )


def _brier(row: BrierParts) -> BrierOut:
    return BrierOut(
        model=row.model,
        version=row.version,
        lead_minutes=row.lead_minutes,
        threshold_mmh=row.threshold_mmh,
        cells=row.cells,
        events=row.events,
        brier=row.brier,
        reliability=row.reliability,
        resolution=row.resolution,
        uncertainty=row.uncertainty,
        skill=row.skill,
    )
