"""Answers for web pages of other sites, where the setting `cors_origins` names them; off without it."""

from typing import Final

from starlette.middleware.cors import CORSMiddleware
from starlette.types import ASGIApp, Receive, Scope, Send

SHOWN: Final = ("ETag", "Location", "Retry-After", "RateLimit", "RateLimit-Policy", "X-Request-ID", "Link")
"""Response headers that a page's script may read."""


class Cors:
    """Starlette's CORS, with origins that are known only once the application has started."""

    def __init__(self, app: ASGIApp) -> None:
        self.app = app
        self._with_cors: ASGIApp | None = None

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one connection."""
        if scope["type"] == "http" and self._with_cors is None:
            self._with_cors = self._chosen(scope["app"].state.backend.settings.cors_origins)
        await (self._with_cors or self.app)(scope, receive, send)

    def _chosen(self, origins: tuple[str, ...]) -> ASGIApp:
        if not origins:
            return self.app
        return CORSMiddleware(
            self.app,
            allow_origins=origins,
            allow_methods=("GET", "POST", "PUT", "DELETE"),
            allow_headers=("Authorization", "X-API-Key", "Content-Type", "Prefer", "X-Request-ID", "Last-Event-ID"),
            expose_headers=SHOWN,
            max_age=3600,
        )
