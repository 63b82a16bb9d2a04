"""Whether the client of a request is still there, told to whatever waits on its behalf."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from fastapi import Request

from core.asker import Asker, asked_by
from core.errors import ClientDisconnectedError
from service.telemetry.metrics import REFUSED


@asynccontextmanager
async def while_present(request: Request) -> AsyncIterator[None]:
    """The block's forecast leaves every queue when the client goes; one that has begun is made and kept.

    Args:
        request: whose body has been read.

    Raises:
        ClientDisconnectedError: it went before its forecast was begun.
    """
    asker = Asker()
    watch = asyncio.create_task(_watch(request, asker))
    try:
        with asked_by(asker):
            yield
    except ClientDisconnectedError:
        REFUSED.labels("client_gone").inc()
        raise
    finally:
        watch.cancel()


async def _watch(request: Request, asker: Asker) -> None:
    while (await request.receive())["type"] != "http.disconnect":
        pass  # the rest of a body that nobody wants
    asker.leave()
