"""GET /events: a server-sent event for every new scheduled forecast; each process polls the catalogue itself."""

import asyncio
import json
from collections.abc import AsyncIterator
from typing import Annotated, Final
from uuid import UUID

from fastapi import APIRouter, Header, Request, Response
from fastapi.concurrency import run_in_threadpool
from fastapi.responses import StreamingResponse
from fastapi.sse import format_sse_event
from starlette.types import Receive, Scope, Send

from core.errors import NoDataError, NowcastError
from core.times import iso
from service.api.access import CallerDep
from service.api.backend import Backend, BackendDep
from service.api.errors import documented, problem
from service.api.proxies import public_prefix
from service.forecasts.nowcast import StoredForecast

router = APIRouter(tags=["forecasts"])

LOOK_S: Final = 1.0
"""Interval at which the catalogue's version (the modification time of one file) is checked."""

HEARTBEAT_S: Final = 15.0
MOST_LISTENERS: Final = 100
"""Limit per process; further clients get 503 with `Retry-After`."""

MOST_PER_CALLER: Final = 10
"""Limit per API key or address, so that one client does not take all of them."""

Listeners = set[tuple[str, object]]
MOST_MISSED: Final = 100
"""Maximum number of missed forecasts that a returning client receives."""

RETRY_MS: Final = 3000
MEDIA_TYPE: Final = "text/event-stream"


@router.get(
    "/events",
    summary="New forecasts as server-sent events",
    response_class=StreamingResponse,
    responses={
        **documented(422),
        200: {
            "description": "a stream of events named `forecast`",
            "content": {MEDIA_TYPE: {"schema": {"type": "string"}}},
        },
    },
)
async def listen_to_forecasts(
    request: Request,
    backend: BackendDep,
    caller: CallerDep,
    last_event_id: Annotated[
        UUID | None, Header(description="id of the last forecast received; those issued since then are sent first")
    ] = None,
) -> Response:
    """Send an event `forecast` for each new forecast, with its id, reference time, issue time, status and link."""
    known = await run_in_threadpool(_known, backend, str(last_event_id) if last_event_id else None)
    return answer_of(request, request.app.state.guard.listeners, caller.name, _stream(backend, known))


class ListenerResponse(StreamingResponse):
    """A stream that is counted among the listeners from when it is made until it ends."""

    def __init__(self, events: AsyncIterator[bytes], listeners: Listeners, name: str) -> None:
        super().__init__(events, media_type=MEDIA_TYPE, headers={"Cache-Control": "no-store"})
        self._listeners, self._me = listeners, (name, object())
        listeners.add(self._me)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Send the stream."""
        try:
            await super().__call__(scope, receive, send)
        finally:
            self._listeners.discard(self._me)


def answer_of(request: Request, listeners: Listeners, name: str, events: AsyncIterator[bytes]) -> Response:
    """Return the stream of a client, or its refusal; nothing is awaited between the count and the stream's place."""
    return refusal_of(request, listeners, name) or ListenerResponse(events, listeners, name)


def refusal_of(request: Request, listeners: Listeners, name: str) -> Response | None:
    """Return the answer to a client for which there is no further stream; None where there is one."""
    if len(listeners) >= MOST_LISTENERS:
        detail = f"{MOST_LISTENERS} clients are connected, the limit; retry later"
        return problem(request, 503, "Temporarily unavailable", detail, headers={"Retry-After": "30"})
    if sum(each == name for each, _ in listeners) >= MOST_PER_CALLER:
        detail = f"expected at most {MOST_PER_CALLER} streams of one client, got more; close another"
        return problem(request, 429, "Too many requests", detail, headers={"Retry-After": "30"})
    return None


async def _stream(backend: Backend, known: StoredForecast | None) -> AsyncIterator[bytes]:
    try:
        yield format_sse_event(comment="scheduled forecasts", retry=RETRY_MS)
        seen, silent_s = None, 0.0
        while True:
            version = backend.service.catalogue.version
            if version != seen:
                for forecast in await run_in_threadpool(_since, backend, known):
                    known, silent_s = forecast, 0.0
                    yield _event(forecast)
                seen = version
            await asyncio.sleep(LOOK_S)
            silent_s += LOOK_S
            if silent_s >= HEARTBEAT_S:
                silent_s, seen = 0.0, None  # query the catalogue even if its version seems unchanged
                yield format_sse_event(comment="heartbeat")
    except NowcastError:
        return  # the client reconnects with the last id that it received


def _known(backend: Backend, forecast_id: str | None) -> StoredForecast | None:
    """Return the forecast that a client knows; the latest one if it names none that is stored."""
    try:
        return backend.service.get(forecast_id) if forecast_id else backend.service.latest()
    except NoDataError:
        return None if forecast_id is None else _known(backend, None)


def _since(backend: Backend, known: StoredForecast | None) -> list[StoredForecast]:
    """Return the scheduled model's forecasts with a newer reference time, oldest first."""
    model = backend.settings.model
    start = known.reference_time if known else None
    found = backend.service.list(model=model, origin="scans", start=start, limit=MOST_MISSED)
    newer = [forecast for forecast in found if known is None or forecast.reference_time > known.reference_time]
    return newer[::-1]


def _event(forecast: StoredForecast) -> bytes:
    data = {
        "forecast_id": forecast.id,
        "reference_time": iso(forecast.reference_time),
        "issued_at": iso(forecast.issued_at),
        "status": forecast.status,
        "href": f"{public_prefix()}/nowcast/{forecast.id}",
    }
    return format_sse_event(data_str=json.dumps(data), event="forecast", id=forecast.id)
