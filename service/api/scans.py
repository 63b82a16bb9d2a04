"""GET /scans: the stored radar scans. GET /ingest: the state of ingest."""

from typing import Annotated

from fastapi import APIRouter, Query, Request, Response

from service.api.backend import ServiceDep
from service.api.csv_tables import TableRoute, as_table
from service.api.errors import documented
from service.api.paging import Cursor, Limit, next_link, position_of
from service.schemas.forecasts import Time
from service.schemas.listings import IngestOut, ScanOut, ScansOut

router = APIRouter(tags=["scans"], route_class=TableRoute)


@router.get(
    "/scans", openapi_extra=as_table("scans"), summary="Stored radar scans, newest first", responses=documented(422)
)
def read_scans(
    service: ServiceDep,
    request: Request,
    response: Response,
    product: Annotated[str | None, Query(description="RY, RV, ...; all products if omitted", max_length=40)] = None,
    start: Annotated[Time | None, Query(description="first valid time, ISO 8601; UTC if it has no time zone")] = None,
    end: Annotated[Time | None, Query(description="last valid time, ISO 8601; UTC if it has no time zone")] = None,
    limit: Limit = 100,
    cursor: Cursor = None,
) -> ScansOut:
    """Return the stored scans with valid time, time of receipt, radar coverage and missing radars."""
    scans = service.store.scans(product=product, start=start, end=end)
    newest = sorted(scans, key=lambda scan: (scan.valid_time, scan.product), reverse=True)
    if position := position_of(cursor):
        newest = [scan for scan in newest if (scan.valid_time, scan.product) < position]
    last = newest[limit - 1] if len(newest) > limit else None
    link = next_link(request, response, (last.valid_time, last.product) if last else None)
    return ScansOut(count=len(scans), scans=[ScanOut.of(scan) for scan in newest[:limit]], next=link)


@router.get(
    "/ingest",
    openapi_extra=as_table("products"),
    summary="State of ingest: counts, gaps, outages, warnings",
    responses=documented(),
)
def read_ingest(service: ServiceDep) -> IngestOut:
    """Return counters since the catalogue was created, the newest scan of each product, and outages of sources."""
    return IngestOut.model_validate(service.store.ingest_status().to_dict())
