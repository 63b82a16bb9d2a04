"""gzip for what shrinks: JSON and text, never pictures, files or an event stream."""

from typing import Final

from starlette.datastructures import Headers, MutableHeaders
from starlette.middleware.gzip import DEFAULT_EXCLUDED_CONTENT_TYPES, GZipMiddleware
from starlette.types import ASGIApp, Message, Receive, Scope, Send

SMALLEST_BYTES: Final = 1024
LEVEL: Final = 5
AS_THEY_ARE: Final = (
    *DEFAULT_EXCLUDED_CONTENT_TYPES,
    "image/*",
    "application/netcdf",
    "application/x-netcdf",
    "application/x-hdf5",
    "application/octet-stream",
)


class GZipForText:
    """Starlette's gzip; a compressed answer's validator is weak, since its bytes are others (RFC 9110, 8.8.3)."""

    def __init__(self, app: ASGIApp) -> None:
        self.app = app
        self._gzip = GZipMiddleware(app, SMALLEST_BYTES, LEVEL, exclude_content_types=AS_THEY_ARE)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one connection."""
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return

        async def send_with_weak_tag(message: Message) -> None:
            if message["type"] == "http.response.start" and "content-encoding" in Headers(raw=message["headers"]):
                headers = MutableHeaders(raw=message["headers"])
                tag = headers.get("etag")
                if tag and not tag.startswith("W/"):
                    headers["ETag"] = f"W/{tag}"
            await send(message)

        await self._gzip(scope, receive, send_with_weak_tag)
