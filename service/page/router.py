"""GET / and /page: the page's files, and the landing page of the interface for clients that ask for JSON."""

from collections.abc import Callable
from pathlib import Path
from typing import Any, Final

from fastapi import FastAPI, Request, Response
from fastapi.responses import FileResponse, JSONResponse
from fastapi.staticfiles import StaticFiles

STATIC: Final = Path(__file__).parent / "static"
HTML: Final = "text/html"
JSON: Final = "application/json"


def add_page(app: FastAPI, landing: Callable[[str], dict[str, Any]]) -> None:
    """Serve the page at `/`, and its files under `/page`.

    Args:
        app: the application.
        landing: returns the JSON document of `/`, given the base URL.
    """

    async def root(request: Request) -> Response:
        accept = request.headers.get("accept", "")
        if request.query_params.get("f") == "json" or (JSON in accept and HTML not in accept):
            return JSONResponse(landing(str(request.base_url)), headers={"Vary": "Accept"})
        return FileResponse(STATIC / "index.html", headers={"Cache-Control": "no-cache", "Vary": "Accept"})

    app.add_api_route("/", root, include_in_schema=False, response_class=Response)
    app.mount("/page", StaticFiles(directory=STATIC), name="page")
