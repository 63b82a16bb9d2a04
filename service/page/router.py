"""GET /, /embed, /sw.js and /page: the page, its widget and files; the interface's landing page for clients of JSON."""

from collections.abc import Callable
from pathlib import Path
from typing import Any, Final

from fastapi import FastAPI, Request, Response
from fastapi.responses import FileResponse, JSONResponse
from fastapi.staticfiles import StaticFiles

STATIC: Final = Path(__file__).parent / "static"
HTML: Final = "text/html"


def add_page(app: FastAPI, landing: Callable[[str], dict[str, Any]]) -> None:
    """Serve the page at `/`, the widget at `/embed`, and their files under `/page`.

    The service worker stands at the top: from there alone may it answer for the whole page.

    Args:
        app: the application.
        landing: returns the JSON document of `/`, given the base URL.
    """

    async def root(request: Request) -> Response:
        accept = request.headers.get("accept", "")
        if request.query_params.get("f") == "json" or HTML not in accept:  # `*/*` is what clients of EDR send
            return JSONResponse(landing(str(request.base_url)), headers={"Vary": "Accept"})
        return FileResponse(STATIC / "index.html", headers={"Cache-Control": "no-cache", "Vary": "Accept"})

    async def embed() -> Response:
        return FileResponse(STATIC / "embed.html", headers={"Cache-Control": "no-cache"})

    async def service_worker() -> Response:
        return FileResponse(STATIC / "sw.js", headers={"Cache-Control": "no-cache"}, media_type="text/javascript")

    for path, endpoint in (("/", root), ("/embed", embed), ("/sw.js", service_worker)):
        app.add_api_route(path, endpoint, include_in_schema=False, response_class=Response)
    app.mount("/page", StaticFiles(directory=STATIC), name="page")
