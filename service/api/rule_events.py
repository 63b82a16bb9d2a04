"""GET /rules/events: the events of the caller's rules as server-sent events, resumed after the last one received."""

import asyncio
import json
from collections.abc import AsyncIterator
from time import monotonic
from typing import Annotated, Final
from uuid import UUID

from fastapi import APIRouter, Header, Request, Response
from fastapi.concurrency import run_in_threadpool
from fastapi.responses import StreamingResponse
from fastapi.sse import format_sse_event
from sqlalchemy import Engine

from core.errors import NowcastError
from service.alerts.events import events_after, number_of
from service.alerts.rulebook import rule_book
from service.api.access import CallerDep, Guard
from service.api.backend import BackendDep
from service.api.errors import documented
from service.api.events import HEARTBEAT_S, MEDIA_TYPE, RETRY_MS, answer_of
from service.api.rules import OwnerDep

router = APIRouter(prefix="/rules", tags=["rules"])

LOOK_S: Final = 1.0
AT_ONCE: Final = 100
EVENT: Final = "alert"


@router.get(
    "/events",
    summary="Events of all own rules as server-sent events",
    response_class=StreamingResponse,
    responses={
        **documented(401, 422),
        200: {
            "description": "a stream of events named `alert`",
            "content": {MEDIA_TYPE: {"schema": {"type": "string"}}},
        },
    },
)
async def follow_rules(
    request: Request,
    backend: BackendDep,
    caller: CallerDep,
    owner: OwnerDep,
    last_event_id: Annotated[
        UUID | None, Header(description="id of the last event received; those since then are sent first")
    ] = None,
) -> Response:
    """Send an event `alert` for each event of the caller's rules: its document, with its id as `event_id`.

    Events of the last 30 days are there to resume from. Where the one of `Last-Event-ID` is erased with its rule, or
    older, all that are stored are sent: a client leaves out the ids that it has. The stream ends when the API key is
    revoked.
    """
    guard: Guard = request.app.state.guard
    engine = (await run_in_threadpool(rule_book, backend.settings)).engine
    number = await run_in_threadpool(number_of, engine, str(last_event_id) if last_event_id else None)
    return answer_of(request, guard.listeners, caller.name, _stream(request, guard, engine, owner, number))


async def _stream(
    request: Request, guard: Guard, engine: Engine, owner: str | None, number: int
) -> AsyncIterator[bytes]:
    try:
        yield format_sse_event(comment="events of rules", retry=RETRY_MS)
        silent_s, checked_at = 0.0, monotonic()
        while True:
            if monotonic() - checked_at >= HEARTBEAT_S:  # also of a stream that is never silent
                if (await guard.caller(request.scope)).is_refused:
                    return
                checked_at = monotonic()
            found = await run_in_threadpool(events_after, engine, owner, number, AT_ONCE)
            for at, document in found:
                number, silent_s = at, 0.0
                text = json.dumps(document, ensure_ascii=False)
                yield format_sse_event(data_str=text, event=EVENT, id=document["event_id"])
            if len(found) == AT_ONCE:
                continue
            await asyncio.sleep(LOOK_S)
            silent_s += LOOK_S
            if silent_s >= HEARTBEAT_S:
                silent_s = 0.0
                yield format_sse_event(comment="heartbeat")
    except NowcastError:
        return  # the client reconnects with the last id that it received
