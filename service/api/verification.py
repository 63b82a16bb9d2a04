"""GET /verification: how good the forecasts of the last hours were."""

from typing import Annotated

from fastapi import APIRouter, Query

from service.api.backend import ServiceDep
from service.api.errors import documented
from service.api.listings import RollingOut
from service.api.models import scored_model
from service.api.views import score_rows

router = APIRouter(tags=["verification"])


@router.get("/verification", summary="Rolling scores", responses=documented(404, 422))
def read_verification(
    service: ServiceDep,
    period_hours: Annotated[float, Query(gt=0, le=24 * 366, description="back from the newest data")] = 24,
    model: Annotated[str | None, Query(description="with both baselines over its very forecasts; none is all")] = None,
) -> RollingOut:
    """Counts summed by model, lead and threshold, and their scores; empty before a first forecast is of age."""
    if model is not None:
        scored_model(service, model)
    rows = service.rolling(period_hours, model)
    return RollingOut(period_hours=period_hours, model=model, until=service.now(), scores=score_rows(rows))
