"""The OpenAPI document, and GET /docs: its viewer, served from here so that it works without internet access."""

import json
from collections.abc import Mapping
from typing import Any, Final

from fastapi import FastAPI, Request, Response
from fastapi.openapi.docs import get_swagger_ui_html
from fastapi.openapi.utils import get_openapi
from fastapi.responses import HTMLResponse
from fastapi.routing import APIRoute
from fastapi.staticfiles import StaticFiles

from service.api.access import SAFE, UNCOUNTED
from service.api.browsers import policy_of
from service.api.errors import MEDIA_TYPE, WORDS
from service.api.openapi_older import openapi_30

VIEWER: Final = "viewer"
ADMINISTRATION: Final = ("/models/aliases/{alias}",)
SCHEMES: Final[Mapping[str, Any]] = {
    "ApiKey": {
        "type": "apiKey",
        "in": "header",
        "name": "X-API-Key",
        "description": "an API key made by `service.keys create`",
    },
    "Bearer": {"type": "http", "scheme": "bearer", "description": "the same API key"},
}
KEYS: Final[tuple[dict[str, list[str]], ...]] = ({"ApiKey": []}, {"Bearer": []})
EDR: Final = "OGC API-EDR"
PROBLEM: Final = {MEDIA_TYPE: {"schema": {"$ref": "#/components/schemas/Problem"}}}


def add_documentation(app: FastAPI) -> None:
    """Add the OpenAPI document and `/docs`, with the viewer's files from the package `fastapi_swagger`."""
    app.openapi = lambda: _openapi(app)  # type: ignore[method-assign]
    app.mount("/docs/viewer", StaticFiles(packages=[("fastapi_swagger", "resources")]), name=VIEWER)
    app.add_api_route("/docs", viewer, include_in_schema=False, response_class=HTMLResponse)
    app.add_api_route("/openapi-3.0.json", read_older, include_in_schema=False, response_class=Response)


async def read_older(request: Request) -> Response:
    """Return the OpenAPI document in version 3.0, for clients that read no later one."""
    document = openapi_30(request.app.openapi())
    root = request.scope.get("root_path", "")
    content = {**document, "servers": [{"url": root}]} if root else document
    return Response(json.dumps(content), media_type="application/vnd.oai.openapi+json;version=3.0")


async def viewer(request: Request) -> HTMLResponse:
    """Return the viewer's page."""
    script, style, icon = (
        str(request.url_for(VIEWER, path=name))
        for name in ("swagger-ui-bundle.js", "swagger-ui.css", "favicon-32x32.png")
    )
    page = get_swagger_ui_html(
        openapi_url=str(request.url_for("openapi")),
        title=request.app.title,
        swagger_js_url=script,
        swagger_css_url=style,
        swagger_favicon_url=icon,
    )
    page.headers["Content-Security-Policy"] = policy_of(bytes(page.body).decode())
    return page


def operation_id(route: APIRoute) -> str:
    """Return the name of an operation in generated clients, from that of its function: `getPoint` of `read_point`.

    Those of EDR have its name; where one function answers for a collection and for one of its instances, the second is
    `...OfInstance`.
    """
    verb, *words = route.name.split("_")
    words = ["edr", *words] if EDR in route.tags else words
    of_instance = ["of", "instance"] if "/instances/{" in route.path and words[-1] != "instance" else []
    return ("get" if verb == "read" else verb) + "".join(word.capitalize() for word in [*words, *of_instance])


def _openapi(app: FastAPI) -> dict[str, Any]:
    if app.openapi_schema is None:
        schema = get_openapi(
            title=app.title, version=app.version, description=app.description, routes=app.routes, tags=app.openapi_tags
        )
        _describe_security(schema)
        _describe_problems(schema)
        app.openapi_schema = schema
    return app.openapi_schema


def _describe_security(schema: dict[str, Any]) -> None:
    """Declare for each operation whether it needs an API key; GET does not, nor do clients on this machine."""
    schema["components"]["securitySchemes"] = dict(SCHEMES)
    for path, operations in schema["paths"].items():
        if path in UNCOUNTED:
            continue
        for verb, operation in operations.items():
            operation["security"] = [*KEYS] if path in ADMINISTRATION else [{}, *KEYS]
            for status in (401, 429) if verb.upper() in SAFE else (401, 403, 429):
                operation["responses"].setdefault(str(status), {"description": WORDS[status]})


def _describe_problems(schema: dict[str, Any]) -> None:
    """Declare that errors are problem documents, unless an operation answers them in XML."""
    operations = [operation for path in schema["paths"].values() for operation in path.values()]
    for operation in operations:
        for status, response in operation["responses"].items():
            if status.startswith(("4", "5")):
                in_xml = {kind: content for kind, content in response.get("content", {}).items() if "xml" in kind}
                response["content"] = in_xml or PROBLEM
                response["description"] = WORDS.get(int(status), response["description"])
    for unused in ("HTTPValidationError", "ValidationError"):
        schema["components"]["schemas"].pop(unused, None)
