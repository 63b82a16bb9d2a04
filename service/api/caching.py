"""Validators and lifetimes of answers (RFC 9110 section 13, RFC 9111)."""

import hashlib
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime, parsedate_to_datetime
from typing import Any, Final

from fastapi import Request, Response

from core.settings import Settings
from service.api.lookup import LATEST
from service.forecasts.nowcast import StoredForecast

SCAN_MINUTES: Final = 5
"""DWD's composites come every five minutes, and a forecast with each."""

SHORTEST_S: Final = 1
FOREVER_S: Final = 365 * 24 * 3600
NOT_MODIFIED: Final[dict[str, Any]] = {"description": "If-None-Match holds this answer"}


def etag(forecast: StoredForecast, *parts: str) -> str:
    """A strong validator: the forecast's id, and which of its parts."""
    return '"' + "-".join((forecast.id, *parts)) + '"'


def weak_etag(forecast: StoredForecast, *changing: str) -> str:
    """A weak validator for answers whose status and scores change while the forecast stays."""
    digest = hashlib.sha256("|".join(changing).encode()).hexdigest()[:12]
    return f'W/"{forecast.id}-{digest}"'


def headers(forecast: StoredForecast, tag: str, *, lifetime_s: int) -> dict[str, str]:
    """The headers that let a client keep an answer for so long and ask again cheaply."""
    expires = datetime.now(UTC) + timedelta(seconds=lifetime_s)
    return {
        "ETag": tag,
        "Last-Modified": http_date(forecast.issued_at),
        "Cache-Control": f"public, max-age={lifetime_s}",
        "Expires": http_date(expires),
        "Vary": "Accept",
    }


def until_next_run_s(forecast: StoredForecast, settings: Settings) -> int:
    """Seconds from now to the next expected run: one scan after this one was issued, at a replay's pace."""
    pace = settings.replay_speed if settings.source_kind == "replay" else 1.0
    next_run = forecast.issued_at + timedelta(minutes=SCAN_MINUTES) / pace
    return max(SHORTEST_S, round((next_run - datetime.now(UTC)).total_seconds()))


def lifetime_s(forecast_id: str, forecast: StoredForecast, settings: Settings) -> int:
    """What an id names never changes; what is the latest does."""
    return until_next_run_s(forecast, settings) if forecast_id == LATEST else FOREVER_S


def not_modified(request: Request, answer_headers: dict[str, str]) -> Response | None:
    """The 304 where the client holds this very answer (weak comparison), else None."""
    return Response(status_code=304, headers=answer_headers) if holds(request.headers, answer_headers) else None


def holds(request_headers: Mapping[str, str], answer_headers: Mapping[str, str]) -> bool:
    """Whether the client holds this answer by its tag, or by its date where it sends no tag (RFC 9110, 13.2.2).

    A date counts for strong validators alone: what changes while its forecast stays may do so twice in a second.
    """
    tag = answer_headers["ETag"]
    if wanted := request_headers.get("if-none-match"):
        held = {each.strip().removeprefix("W/") for each in wanted.split(",")}
        return "*" in held or tag.removeprefix("W/") in held
    if tag.startswith("W/") or not answer_headers.get("Last-Modified"):
        return False
    try:
        since = parsedate_to_datetime(request_headers.get("if-modified-since", ""))
        return parsedate_to_datetime(answer_headers["Last-Modified"]) <= since.replace(tzinfo=since.tzinfo or UTC)
    except ValueError:
        return False


def http_date(time: datetime) -> str:
    """A time as HTTP writes it."""
    return format_datetime(time.astimezone(UTC), usegmt=True)
