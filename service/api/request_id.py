"""`X-Request-ID`: one id for a request in the answer, in the log, and wherever the work goes from here."""

import re
from contextvars import ContextVar
from typing import Final
from uuid import uuid4

from starlette.datastructures import Headers, MutableHeaders
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from core.logs import tell

HEADER: Final = "X-Request-ID"
TAKEN_OVER: Final = re.compile(r"[A-Za-z0-9._:-]{1,64}")
"""A client's own id, if it can do no harm in a log."""

request_id: ContextVar[str | None] = ContextVar("request_id", default=None)
"""The id of the request that is being answered; None outside of one. Threads of the answer see it too."""


class RequestId:
    """Gives every request its id: the client's own, or a new one."""

    def __init__(self, app: ASGIApp) -> None:
        self.app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one connection."""
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        sent = Headers(scope=scope).get(HEADER, "")
        chosen = sent if TAKEN_OVER.fullmatch(sent) else uuid4().hex
        tell(request_id=chosen)
        request_id.set(chosen)  # and never reset: a failure is logged and answered further out, in the same task

        async def send_with_id(message: Message) -> None:
            if message["type"] == "http.response.start":
                MutableHeaders(scope=message)[HEADER] = chosen
            await send(message)

        await self.app(scope, receive, send_with_id)
