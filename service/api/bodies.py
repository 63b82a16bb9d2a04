"""Request bodies: bounded in bytes and time before a route reads them; POST /nowcast has the limits of an upload."""

import time
from typing import Final

from anyio import fail_after
from fastapi import Request
from starlette.datastructures import Headers
from starlette.exceptions import HTTPException
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from core.errors import InputError, TooLargeError
from service.api.errors import error_answer

MOST_BYTES: Final = 2 * 2**20
"""Most bytes of a body that is no upload: the polygon of the most vertices with 15 digits has 0.8 MB."""

RECEIVE_S: Final = 20.0
UPLOADS: Final = ("/nowcast",)


class BoundedBodies:
    """Refuses a body that is too large by its header, and ends one that is so by its content or takes too long."""

    def __init__(self, app: ASGIApp, most_bytes: int = MOST_BYTES, receive_s: float = RECEIVE_S) -> None:
        self.app, self._most_bytes, self._receive_s = app, most_bytes, receive_s

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one connection."""
        if scope["type"] != "http" or _path(scope) in UPLOADS:
            await self.app(scope, receive, send)
            return
        announced = Headers(scope=scope).get("content-length", "")
        if announced.isdecimal() and int(announced) > self._most_bytes:
            error = TooLargeError(f"body: expected at most {self._most_bytes} bytes, got Content-Length: {announced}")
            await error_answer(Request(scope), error)(scope, receive, send)
            return
        await self.app(scope, _Bounded(receive, self._most_bytes, self._receive_s).receive, send)


class _Bounded:
    def __init__(self, receive: Receive, most_bytes: int, receive_s: float) -> None:
        self._receive, self._most_bytes = receive, most_bytes
        self._left_bytes, self._ends_at = most_bytes, time.monotonic() + receive_s
        self._receive_s, self._is_complete = receive_s, False

    async def receive(self) -> Message:
        if self._is_complete:  # what follows is the client's disconnection
            return await self._receive()
        try:
            with fail_after(max(0.0, self._ends_at - time.monotonic())):
                message = await self._receive()
        except TimeoutError as err:
            detail = f"expected the complete body within {self._receive_s:g} s"
            raise HTTPException(InputError.status, detail, {"Connection": "close"}) from err
        self._is_complete = not message.get("more_body", False)
        self._left_bytes -= len(message.get("body", b""))
        if self._left_bytes < 0:
            detail = f"body: expected at most {self._most_bytes} bytes, got more"
            raise HTTPException(TooLargeError.status, detail, {"Connection": "close"})
        return message


def _path(scope: Scope) -> str:
    """Return the path of a route, without the prefix of a proxy."""
    return str(scope["path"]).removeprefix(scope.get("root_path", "")).rstrip("/")
