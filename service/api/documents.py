"""GET /docs: the interface to try out, with a viewer of our own host, for machines that reach no other."""

from typing import Final

from fastapi import FastAPI, Request
from fastapi.openapi.docs import get_swagger_ui_html
from fastapi.responses import HTMLResponse
from fastapi.staticfiles import StaticFiles

VIEWER: Final = "viewer"


def add_documents(app: FastAPI) -> None:
    """Add `/docs`, and below it the viewer's files from the package `fastapi_swagger`."""
    app.mount("/docs/viewer", StaticFiles(packages=[("fastapi_swagger", "resources")]), name=VIEWER)
    app.add_api_route("/docs", documents, include_in_schema=False, response_class=HTMLResponse)


async def documents(request: Request) -> HTMLResponse:
    """The viewer's page."""
    script, style, icon = (
        str(request.url_for(VIEWER, path=name))
        for name in ("swagger-ui-bundle.js", "swagger-ui.css", "favicon-32x32.png")
    )
    return get_swagger_ui_html(
        openapi_url=str(request.url_for("openapi")),
        title=request.app.title,
        swagger_js_url=script,
        swagger_css_url=style,
        swagger_favicon_url=icon,
    )
