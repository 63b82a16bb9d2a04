"""GET /nowcast: the stored forecasts from scans; one from an upload is found by its id alone."""

from typing import Annotated

from fastapi import APIRouter, Query, Request, Response

from service.api.backend import BackendDep
from service.api.errors import documented
from service.api.paging import Cursor, Limit, next_link, place_of
from service.forecasts.nowcast import Forecast
from service.schemas.forecasts import Time
from service.schemas.listings import ForecastRowOut, ForecastsOut

router = APIRouter(tags=["forecasts"])


@router.get("/nowcast", summary="Stored forecasts, newest first", responses=documented(422))
def read_forecasts(
    backend: BackendDep,
    request: Request,
    response: Response,
    model: Annotated[str | None, Query(description="a name of GET /models; none is all", max_length=200)] = None,
    start: Annotated[Time | None, Query(description="first reference time, ISO 8601; UTC without a zone")] = None,
    end: Annotated[Time | None, Query(description="last reference time, ISO 8601; UTC without a zone")] = None,
    limit: Limit = 100,
    cursor: Cursor = None,
) -> ForecastsOut:
    """Forecasts of scheduled cycles and of requests, by reference time; baselines too."""
    found = backend.service.list(
        model=model, origin="scans", start=start, end=end, after=place_of(cursor), limit=limit + 1
    )
    last = found[limit - 1] if len(found) > limit else None
    link = next_link(request, response, (last.reference_time, last.id) if last else None)
    return ForecastsOut(forecasts=[_row(forecast) for forecast in found[:limit]], next=link)


def _row(forecast: Forecast) -> ForecastRowOut:
    return ForecastRowOut(
        forecast_id=forecast.id,
        reference_time=forecast.reference_time,
        issued_at=forecast.issued_at,
        status=forecast.status,
        model=forecast.model,
        version=forecast.version,
        method=forecast.method,
        origin=forecast.origin,
        product=forecast.product,
        href=f"/nowcast/{forecast.id}",
    )
