"""The REST interface and the page: `uvicorn service.app:app`. Importing it opens nothing."""

import logging
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from functools import partial
from types import ModuleType
from typing import Any, Final

from fastapi import FastAPI

from core.logs import set_up_logs
from core.settings import Settings, get_settings
from core.version import project_version
from ingest.sources import check_source_kind
from ingest.store.schema import check_before_start
from service.access.start import StartInOneLine, check_start, local_access_text, with_local_access
from service.api import (
    archive,
    areas,
    cap,
    events,
    files,
    forecasts,
    health,
    jobs,
    metrics,
    models,
    nowcast_post,
    observed,
    points,
    rain_times,
    reliability,
    rule_events,
    rules,
    scans,
    subscriptions,
    verification,
)
from service.api.access import Guard
from service.api.backend import Backend
from service.api.bodies import BoundedBodies
from service.api.browsers import Cors, SecurityHeaders
from service.api.errors import handle_errors
from service.api.lanes import Lanes, in_lane
from service.api.lookup import STRICT, RecentForecasts
from service.api.middleware import Access, Conditional, GZipForText, HeadAsGet, Observed, RequestId, Traced
from service.api.openapi import add_documentation, operation_id
from service.api.proxies import Proxied, ValidHost
from service.forecasts.nowcast import NowcastService
from service.foreign import brightsky, metno, minutes, openmeteo, rainviewer
from service.ogc import edr, tiles, wms
from service.ogc.edr_meta import landing
from service.page.router import add_page
from service.telemetry.start import start_telemetry
from service.telemetry.traces import stop_traces

log = logging.getLogger(__name__)

STRICT_PARTS: Final = (
    nowcast_post,
    forecasts,
    points,
    observed,
    areas,
    files,
    jobs,
    events,
    verification,
    reliability,
    rain_times,
    archive,
    models,
    scans,
    tiles,
    rule_events,
    subscriptions,
    rules,
    cap,
    minutes,
)
LANES: Final = {
    areas: "areas",
    edr: "areas",
    wms: "maps",
    tiles: "maps",
    rainviewer: "maps",
    files: "files",
    brightsky: "files",
    metrics: "state",
}
"""Routes whose work is heavy, and the lane of each."""

OTHER_PARTS: Final = (edr, wms, health, metrics, metno, openmeteo, brightsky, rainviewer)
"""Interfaces of other standards and of monitoring: they ignore unknown query parameters."""

DESCRIPTION: Final = """
Precipitation forecasts for the next two and a half hours from radar scans, with their age and their scores.

Rain rates are liquid-equivalent in mm/h; `null` is not observed, 0 is dry. Times are UTC. Row 0 is the northernmost.
Errors are problem documents (RFC 9457) that name the parameter, what was expected and what was found.
"""


def create_app(service: NowcastService | None = None, settings: Settings | None = None) -> FastAPI:
    """Return the web application with its routers and middleware.

    Args:
        service: an open service; None opens one from the settings while /livez answers already.
        settings: None: the service's, or those of the environment, read at the start.
    """
    app = FastAPI(
        title="Precipitation nowcast",
        version=project_version(),
        description=DESCRIPTION,
        lifespan=lambda app: _running(app, service, settings),
        docs_url=None,
        redoc_url=None,
        swagger_ui_oauth2_redirect_url=None,
        generate_unique_id_function=operation_id,
    )
    add_documentation(app)
    for part in STRICT_PARTS:
        app.include_router(part.router, **{**STRICT, "dependencies": [*_lane(part), *STRICT.get("dependencies", ())]})
    for part in OTHER_PARTS:
        app.include_router(part.router, dependencies=_lane(part))
    add_page(app, landing)
    # the last is the outermost
    inner = (BoundedBodies, Proxied, Conditional, Access, GZipForText, HeadAsGet, Cors)
    for layer in (*inner, SecurityHeaders, Observed, Traced, RequestId, ValidHost, StartInOneLine):
        app.add_middleware(layer)
    handle_errors(app)
    return app


@asynccontextmanager
async def _running(app: FastAPI, service: NowcastService | None, settings: Settings | None) -> AsyncIterator[None]:
    """Hold the backend and the access guard open while the application serves."""
    chosen = settings or (service.settings if service else get_settings())
    is_whole_process = service is None and settings is None
    if is_whole_process:
        chosen = with_local_access(chosen, embedded=False)
        set_up_logs("api", chosen.log_level, chosen.log_format)
        log.info("%s", local_access_text(chosen))
        start_telemetry("api", chosen)
    build = partial(NowcastService.from_settings, chosen) if service is None else lambda: service
    check_start(chosen)
    check_source_kind(chosen)
    if service is None:
        check_before_start(chosen.catalogue_url)
    app.state.guard, app.state.lanes = Guard(chosen), Lanes()
    app.state.backend, app.state.recent = Backend(chosen, build, is_whole_process=is_whole_process), RecentForecasts()
    app.state.backend.start()
    yield
    app.state.backend.stop()
    await app.state.guard.close()
    if is_whole_process:
        stop_traces()


def _lane(part: ModuleType) -> list[Any]:
    return [in_lane(LANES[part])] if part in LANES else []


app = create_app()
