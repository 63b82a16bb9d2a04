"""Validators for every JSON answer that has none of its own, and the 304 for who holds that answer already."""

import hashlib
from typing import Final

from starlette.datastructures import Headers, MutableHeaders
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from service.api.caching import holds

NOT_KEPT: Final = ("/livez", "/readyz", "/metrics")
HASH_CHARACTERS: Final = 24


class Conditional:
    """Gives a JSON answer to GET a weak validator made of its content; a client asks again, and cheaply."""

    def __init__(self, app: ASGIApp) -> None:
        self.app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one connection."""
        if scope["type"] != "http" or scope["method"] != "GET":
            await self.app(scope, receive, send)
        else:
            await self.app(scope, receive, _Answer(scope, send).take)


class _Answer:
    """One answer on its way out, held back until its content is whole."""

    def __init__(self, scope: Scope, send: Send) -> None:
        self._scope = scope
        self._send = send
        self._start: Message | None = None
        self._content = b""

    async def take(self, message: Message) -> None:
        if message["type"] == "http.response.start":
            if self._scope["path"] in NOT_KEPT:
                MutableHeaders(raw=message["headers"]).setdefault("Cache-Control", "no-store")
            if _wants_validator(message):
                self._start = message
                return
        if self._start is None:
            await self._send(message)
            return
        self._content += message.get("body", b"")
        if not message.get("more_body", False):
            await self._send_whole(self._start)

    async def _send_whole(self, start: Message) -> None:
        headers = MutableHeaders(raw=start["headers"])
        if "etag" not in headers:
            headers["ETag"] = f'W/"{hashlib.sha256(self._content).hexdigest()[:HASH_CHARACTERS]}"'
        headers.setdefault("Cache-Control", "no-cache")
        if holds(Headers(scope=self._scope), headers):
            for name in ("content-length", "content-type"):
                del headers[name]
            start, self._content = {**start, "status": 304}, b""
        await self._send(start)
        await self._send({"type": "http.response.body", "body": self._content})


def _wants_validator(start: Message) -> bool:
    headers = Headers(raw=start["headers"])
    kind = headers.get("content-type", "").partition(";")[0]
    is_json = kind == "application/json" or (kind.startswith("application/") and kind.endswith("+json"))
    return start["status"] == 200 and is_json and headers.get("cache-control") != "no-store"
