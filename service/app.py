"""The REST interface and the page: `uvicorn service.app:app`. Importing it opens nothing."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from functools import partial
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Final

from fastapi import FastAPI
from fastapi.responses import FileResponse
from fastapi.staticfiles import StaticFiles

from core.settings import Settings, get_settings
from service.api import forecasts, health, jobs, models, nowcast_post, scans, verification
from service.api.backend import Backend
from service.api.errors import handle_errors
from service.api.head import HeadAsGet
from service.nowcast import NowcastService

PAGE: Final = Path(__file__).parent / "page"
PACKAGE: Final = "ms-rnn-nowcast"
DESCRIPTION: Final = """
Rain of the next two and a half hours from radar scans, with its age and its scores.

Rates are mm/h of liquid water, `null` is not observed, 0 is dry; times are UTC; row 0 is the northern one.
Errors are problem documents (RFC 9457) that say what came and what was due.
"""


def create_app(service: NowcastService | None = None, settings: Settings | None = None) -> FastAPI:
    """The application.

    Args:
        service: an open service; None opens one from the settings beside the first answers.
        settings: None are the service's, or those of the environment, read at the start.
    """

    @asynccontextmanager
    async def lifespan(app: FastAPI) -> AsyncIterator[None]:
        chosen = settings or (service.settings if service else get_settings())
        build = partial(NowcastService.from_settings, chosen) if service is None else lambda: service
        app.state.backend = Backend(chosen, build)
        app.state.backend.start()
        yield
        app.state.backend.stop()

    app = FastAPI(title="Precipitation nowcast", version=_version(), description=DESCRIPTION, lifespan=lifespan)
    for part in (nowcast_post, forecasts, jobs, verification, models, scans, health):
        app.include_router(part.router)
    app.add_api_route("/", _page, include_in_schema=False, response_class=FileResponse)
    app.mount("/page", StaticFiles(directory=PAGE), name="page")
    app.add_middleware(HeadAsGet)
    handle_errors(app)
    return app


async def _page() -> FileResponse:
    return FileResponse(PAGE / "index.html", headers={"Cache-Control": "no-cache"})


def _version() -> str:
    try:
        return version(PACKAGE)
    except PackageNotFoundError:  # run from a checkout that is not installed
        return "0"


app = create_app()
