"""GET /observed, /observed/point and /observed/image: the radar frames of the last two hours."""

from typing import Annotated, Any, Final

from fastapi import APIRouter, Depends, Query, Request, Response
from pydantic import TypeAdapter

from core.times import iso
from ingest.store.live import Scan
from service.api import caching
from service.api.backend import Backend, BackendDep
from service.api.csv_tables import MEDIA_TYPE, TableRoute, as_table, csv_text
from service.api.errors import documented
from service.api.lanes import in_lane
from service.api.negotiate import CSV, JSON
from service.api.pictures import picture_answer
from service.api.points import PlacesQuery, places_query
from service.api.proxies import public_prefix
from service.api.views import grid_out
from service.forecasts.image import image_png, visible_scale
from service.forecasts.statement import Statement
from service.queries.cells import OUTSIDE, swap_hint
from service.queries.observed import FRAMES, ObservedSeries, observed_series, recent_scans, scan_at
from service.schemas.forecasts import Time
from service.schemas.listings import ObservedOut, ObservedPointOut, RecentFrameOut
from service.schemas.places import ObservedNowOut

router = APIRouter(prefix="/observed", tags=["observations"], route_class=TableRoute)

PICTURE: Final[dict[str, Any]] = {"content": {"image/png": {"schema": {"type": "string", "format": "binary"}}}}
TABLE: Final[dict[str, Any]] = {
    "description": "a document, a list of them for several places, or a table",
    "content": {CSV: {}},
}
LIFETIME_S: Final = 30
_SEVERAL: Final = TypeAdapter(list[ObservedPointOut])


@router.get("", openapi_extra=as_table("frames"), summary="The frames of the last two hours", responses=documented(404))
def read_observed_frames(backend: BackendDep) -> ObservedOut:
    """Return times, radar coverage and pictures of the frames, the grid, and the source of the data."""
    store = backend.service.store
    scans = recent_scans(store)
    newest = scans[-1]
    frame = FRAMES.read(store, newest)
    return ObservedOut(
        **_recent(backend, newest),
        attribution=Statement.of(backend.settings).credit(newest.product, frame.provider),
        grid=grid_out(frame.grid),
        frames=[
            RecentFrameOut.of(scan, href=f"{public_prefix()}/observed/image?time={iso(scan.valid_time)}")
            for scan in scans
        ],
    )


@router.get(
    "/point",
    summary="The frames of the last two hours at a place, or at several",
    response_model=ObservedPointOut | list[ObservedPointOut],
    responses={200: TABLE, **documented(404, 406, 422)},
)
def read_observed_point(query: Annotated[PlacesQuery, Depends(places_query)], backend: BackendDep) -> Response:
    """Return the observed rate at each time; null is not observed, 0 is dry.

    Several places are answered by a list in their order. With `Accept: text/csv` the response is a table.
    """
    series = [observed_series(backend.service.store, lat, lon) for lat, lon in query.places]
    points = [_point(backend, query, lat, lon, one) for (lat, lon), one in zip(query.places, series, strict=True)]
    if query.kind == CSV:
        return Response(_table(points), media_type=MEDIA_TYPE)
    content = points[0].model_dump_json() if len(points) == 1 else _SEVERAL.dump_json(points)
    return Response(content, media_type=JSON)


@router.get(
    "/image",
    summary="The picture of a frame",
    response_class=Response,
    dependencies=[in_lane("maps")],
    responses={200: PICTURE, 304: caching.NOT_MODIFIED, **documented(404, 422)},
)
def read_observed_image(
    backend: BackendDep,
    request: Request,
    time: Annotated[
        Time | None, Query(description="valid time of a frame of the last two hours; the newest one if omitted")
    ] = None,
) -> Response:
    """Return a frame on its own grid, in the colours of the forecasts: transparent where dry, grey unobserved."""
    scan = scan_at(backend.service.store, time)
    tag = f'"{scan.sha256[:32]}"'
    headers = {"ETag": tag, "Cache-Control": f"public, max-age={LIFETIME_S}", "Valid-Time": iso(scan.valid_time)}
    unchanged = caching.not_modified(request, headers)
    if unchanged is not None:
        return unchanged
    frame = FRAMES.read(backend.service.store, scan)
    png = image_png(frame.rate_mmh_HW, scale=visible_scale(frame.rate_mmh_HW.shape))
    return picture_answer(png, Statement.of(backend.settings).credit(scan.product, frame.provider), headers)


def _recent(backend: Backend, newest: Scan) -> dict[str, Any]:
    age_s = max(0.0, (backend.service.now() - newest.valid_time).total_seconds())
    return {
        "product": newest.product,
        "newest": newest.valid_time,
        "data_age_s": round(age_s, 3),
        "stale": age_s > backend.settings.stale_after_s,
        "invented": backend.settings.invented,
    }


def _point(backend: Backend, query: PlacesQuery, lat: float, lon: float, series: ObservedSeries) -> ObservedPointOut:
    recent, zone = _recent(backend, series.scans[-1]), query.zone_at(lat, lon)
    frame = FRAMES.read(backend.service.store, series.scans[-1])
    return ObservedPointOut(
        **{**recent, "newest": recent["newest"].astimezone(zone)},
        lat=lat,
        lon=lon,
        time_zone=zone.key,
        radar_coverage=series.coverage,
        attribution=Statement.of(backend.settings).credit(series.scans[-1].product, frame.provider),
        series=[
            ObservedNowOut(valid_time=scan.valid_time.astimezone(zone), rate_mmh=rate_mmh)
            for scan, rate_mmh in zip(series.scans, series.rate_mmh, strict=True)
        ],
        notes=[] if frame.grid.cell_of(lat, lon) else [OUTSIDE + swap_hint(frame.grid, lat, lon)],
    )


def _table(points: list[ObservedPointOut]) -> str:
    rows = (
        [point.lat, point.lon, point.stale, one.valid_time.isoformat(), one.rate_mmh, point.attribution]
        for point in points
        for one in point.series
    )
    return csv_text(["lat", "lon", "stale", "valid_time", "rate_mmh", "attribution"], rows)
