"""GET /events: a server-sent event for every new scheduled forecast; each process looks for itself."""

import asyncio
import json
from collections.abc import AsyncIterator
from typing import Annotated, Final
from uuid import UUID

from fastapi import APIRouter, Header, Request, Response
from fastapi.concurrency import run_in_threadpool
from fastapi.responses import StreamingResponse
from fastapi.sse import format_sse_event

from core.errors import NoDataError, NowcastError
from core.times import iso
from service.api.backend import Backend, BackendDep
from service.api.errors import documented, problem
from service.forecasts.nowcast import StoredForecast

router = APIRouter(tags=["forecasts"])

LOOK_S: Final = 1.0
"""Between two looks at the catalogue's version, which is the time of one file."""

HEARTBEAT_S: Final = 15.0
MOST_LISTENERS: Final = 100
"""Of one process; the next is told to come again."""

MOST_MISSED: Final = 100
"""Forecasts told of at once to who comes back."""

RETRY_MS: Final = 3000
MEDIA_TYPE: Final = "text/event-stream"


@router.get(
    "/events",
    summary="New forecasts as they come",
    response_class=StreamingResponse,
    responses={
        **documented(422),
        200: {"description": "events `forecast`", "content": {MEDIA_TYPE: {"schema": {"type": "string"}}}},
    },
)
async def listen(
    request: Request,
    backend: BackendDep,
    last_event_id: Annotated[
        UUID | None, Header(description="id of the last forecast that is known: those since come first")
    ] = None,
) -> Response:
    """Event `forecast`: its id is the forecast's; its data say reference time, issue time, status and link."""
    listeners = request.app.state.guard.listeners
    if len(listeners) >= MOST_LISTENERS:
        detail = f"{MOST_LISTENERS} listeners are there; fewer were due"
        return problem(request, 503, "Temporarily unavailable", detail, headers={"Retry-After": "30"})
    known = await run_in_threadpool(_known, backend, str(last_event_id) if last_event_id else None)
    return StreamingResponse(
        _stream(backend, known, listeners), media_type=MEDIA_TYPE, headers={"Cache-Control": "no-store"}
    )


async def _stream(backend: Backend, known: StoredForecast | None, listeners: set[object]) -> AsyncIterator[bytes]:
    me = object()
    listeners.add(me)
    try:
        yield format_sse_event(comment="forecasts of the schedule, as they come", retry=RETRY_MS)
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
                silent_s, seen = 0.0, None  # and once in a while the catalogue itself is asked
                yield format_sse_event(comment="still here")
    except NowcastError:
        return  # the client comes again, with the last id that it knows
    finally:
        listeners.discard(me)


def _known(backend: Backend, forecast_id: str | None) -> StoredForecast | None:
    """The forecast that a listener knows; where it names none that is stored, the latest one."""
    try:
        return backend.service.get(forecast_id) if forecast_id else backend.service.latest()
    except NoDataError:
        return None if forecast_id is None else _known(backend, None)


def _since(backend: Backend, known: StoredForecast | None) -> list[StoredForecast]:
    """The scheduled model's forecasts with a newer reference time, the oldest first."""
    model = backend.settings.model
    start = known.reference_time if known else None
    found = backend.service.list(model=model, origin="scans", start=start, limit=MOST_MISSED)
    newer = [forecast for forecast in found if known is None or forecast.reference_time > known.reference_time]
    return newer[::-1]


def _event(forecast: StoredForecast) -> bytes:
    told = {
        "forecast_id": forecast.id,
        "reference_time": iso(forecast.reference_time),
        "issued_at": iso(forecast.issued_at),
        "status": forecast.status,
        "href": f"/nowcast/{forecast.id}",
    }
    return format_sse_event(data_str=json.dumps(told), event="forecast", id=forecast.id)
