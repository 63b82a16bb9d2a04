"""What web browsers may do with responses: scripts of other sites (CORS), frames, scripts and types of content."""

import re
from base64 import b64encode
from collections.abc import Mapping
from hashlib import sha256
from typing import Final

from starlette.datastructures import Headers, MutableHeaders
from starlette.middleware.cors import CORSMiddleware
from starlette.types import ASGIApp, Message, Receive, Scope, Send

ANY: Final = "*"
READING: Final = ("GET", "HEAD")
WRITING: Final = ("POST", "PUT", "DELETE")
SENT: Final = (
    *("Accept", "Authorization", "X-API-Key", "Content-Type", "Prefer", "X-Request-ID", "Last-Event-ID"),
    *("If-None-Match", "If-Modified-Since", "Range", "Cache-Control"),
)
"""Request headers that scripts of other sites may send."""

SHOWN: Final = (
    *("ETag", "Location", "Retry-After", "RateLimit", "RateLimit-Policy", "X-Request-ID", "Link"),
    "X-Clock",
    *("Age", "Date", "Expires", "Accept-Ranges", "Content-Range", "Content-Disposition", "Preference-Applied"),
)
"""Response headers that scripts of other sites may read, besides those that all may."""

EMBEDDED: Final = "/embed"
"""The one page that other sites may show in a frame."""

INLINE: Final = re.compile(r"<script>(.*?)</script>", re.DOTALL)
OWN: Final = {
    "default-src": "'self'",
    "img-src": "'self' data: blob:",
    "worker-src": "'self' blob:",
    "object-src": "'none'",
    "base-uri": "'none'",
    "form-action": "'self'",
}
"""What our own pages load: their own files alone."""

PLAIN: Final = {"default-src": "'none'", "style-src": "'unsafe-inline'", "img-src": "'self' data:"}
"""What a document that is no page of ours loads, such as a picture or XML that a browser shows."""

PAGES: Final = ("text/html", "text/javascript", "application/javascript")
"""Types with the policy `OWN`; that of a service worker holds for all that it loads."""


class Cors:
    """Allows web pages of the origins in the setting `cors_origins`, which is known only after the start.

    `*` lets all of them read. Those that are named may also write. No credentials of a browser are ever sent: a caller
    is known by its key alone.
    """

    def __init__(self, app: ASGIApp) -> None:
        self.app = app
        self._with_cors: ASGIApp | None = None

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one connection."""
        if scope["type"] == "http" and self._with_cors is None:
            self._with_cors = self._chosen(scope["app"].state.backend.settings.cors_origins)
        await (self._with_cors or self.app)(scope, receive, send)

    def _chosen(self, origins: tuple[str, ...]) -> ASGIApp:
        named = tuple(origin for origin in origins if origin != ANY)
        chosen = self.app
        if ANY in origins:
            chosen = _cors(chosen, (ANY,), READING, kind=_CorsForAll)
        if not named:
            return chosen
        writing = _cors(self.app, named, (*READING, *WRITING))
        return writing if ANY not in origins else _ByOrigin(dict.fromkeys(named, writing), chosen)


class _CorsForAll(CORSMiddleware):
    """CORS for every origin: all get the same response, which so does not vary by the origin in a cache."""

    async def send(self, message: Message, send: Send, request_headers: Headers) -> None:  # noqa: ARG002
        if message["type"] == "http.response.start":
            MutableHeaders(raw=message["headers"]).update(self.simple_headers)
        await send(message)


def _cors(
    app: ASGIApp, origins: tuple[str, ...], methods: tuple[str, ...], kind: type[CORSMiddleware] = CORSMiddleware
) -> CORSMiddleware:
    return kind(
        app,
        allow_origins=origins,
        allow_methods=methods,
        allow_headers=SENT,
        expose_headers=SHOWN,
        max_age=3600,
    )


class _ByOrigin:
    """Serves requests of some origins in another way than all others."""

    def __init__(self, named: Mapping[str, ASGIApp], others: ASGIApp) -> None:
        self._named, self._others = named, others

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        origin = dict(scope.get("headers", ())).get(b"origin", b"").decode("latin-1")
        await self._named.get(origin, self._others)(scope, receive, send)


class SecurityHeaders:
    """Adds the headers by which browsers refuse what no page of ours needs; those of a route stay."""

    def __init__(self, app: ASGIApp) -> None:
        self.app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one connection."""
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return

        async def send_secured(message: Message) -> None:
            if message["type"] == "http.response.start":
                headers = MutableHeaders(raw=message["headers"])
                for name, value in _security(scope["path"], headers.get("content-type", "")).items():
                    headers.setdefault(name, value)
            await send(message)

        await self.app(scope, receive, send_secured)


def _security(path: str, content_type: str) -> dict[str, str]:
    is_framed = path == EMBEDDED or path.endswith(EMBEDDED)
    rules = OWN if content_type.partition(";")[0].strip() in PAGES else PLAIN
    common = {
        "X-Content-Type-Options": "nosniff",
        "Referrer-Policy": "same-origin",
        "Content-Security-Policy": policy({**rules, "frame-ancestors": ANY if is_framed else "'none'"}),
    }
    return common if is_framed else {**common, "X-Frame-Options": "DENY"}


def policy(rules: Mapping[str, str]) -> str:
    """Return a Content-Security-Policy."""
    return "; ".join(f"{name} {sources}" for name, sources in rules.items())


def policy_of(html: str) -> str:
    """Return the policy of a page of ours whose inline scripts and styles may run, and no others."""
    hashes = [f"'sha256-{b64encode(sha256(script.encode()).digest()).decode()}'" for script in INLINE.findall(html)]
    scripts = " ".join(["'self'", *hashes])
    rules = {**OWN, "script-src": scripts, "style-src": "'self' 'unsafe-inline'", "frame-ancestors": "'none'"}
    return policy(rules)
