"""Validators and lifetimes of responses (RFC 9110 section 13, RFC 9111)."""

import hashlib
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime, parsedate_to_datetime
from typing import Any, Final

from fastapi import Request, Response

from service.api.lookup import LATEST
from service.forecasts.members import has_members
from service.forecasts.nowcast import NowcastService, StoredForecast

SCANS_APART: Final = timedelta(minutes=5)
"""Cadence of most composites, for a source of which one scan alone is known."""

SHORTEST_S: Final = 1
WITHOUT_MEMBERS_S: Final = 10
"""Longest lifetime of a response that has no ensemble members yet: they follow their forecast within a minute."""

FOREVER_S: Final = 365 * 24 * 3600
NOT_MODIFIED: Final[dict[str, Any]] = {"description": "not modified: the client holds this response (`If-None-Match`)"}


def etag(forecast: StoredForecast, *parts: str) -> str:
    """Return a strong validator from the forecast's id and the names of the part."""
    return '"' + "-".join((forecast.id, *parts)) + '"'


def weak_etag(forecast: StoredForecast, *changing: str) -> str:
    """Return a weak validator for responses whose status or scores change although the forecast does not."""
    digest = hashlib.sha256("|".join(changing).encode()).hexdigest()[:12]
    return f'W/"{forecast.id}-{digest}"'


def headers(forecast: StoredForecast, tag: str, *, lifetime_s: int) -> dict[str, str]:
    """Return the headers that let a client cache a response for `lifetime_s` and revalidate it."""
    expires = datetime.now(UTC) + timedelta(seconds=lifetime_s)
    return {
        "ETag": tag,
        "Last-Modified": http_date(forecast.issued_at),
        "Cache-Control": f"public, max-age={lifetime_s}",
        "Expires": http_date(expires),
        "Vary": "Accept",
    }


def until_next_run_s(forecast: StoredForecast, service: NowcastService) -> int:
    """Return the seconds until the next run: one interval of the scans after the issue time, at a replay's speed."""
    settings = service.settings
    pace = settings.replay_speed if settings.source_kind == "replay" else 1.0
    next_run = forecast.issued_at + (service.schedule.cadence(forecast.product) or SCANS_APART) / pace
    return max(SHORTEST_S, round((next_run - datetime.now(UTC)).total_seconds()))


def with_members_s(forecast: StoredForecast, service: NowcastService) -> int:
    """Return how long a response may be cached that ensemble members are part of, once they are made."""
    lifetime_s = until_next_run_s(forecast, service)
    awaits = bool(service.settings.members and forecast.thresholds_mmh) and not has_members(forecast)
    return min(lifetime_s, WITHOUT_MEMBERS_S) if awaits else lifetime_s


def lifetime_s(forecast_id: str, forecast: StoredForecast, service: NowcastService) -> int:
    """Return how long a response may be cached: for an id it never changes, for `latest` until the next run."""
    return until_next_run_s(forecast, service) if forecast_id == LATEST else FOREVER_S


def not_modified(request: Request, answer_headers: dict[str, str]) -> Response | None:
    """Return a 304 if the client holds this response (weak comparison), else None."""
    return Response(status_code=304, headers=answer_headers) if holds(request.headers, answer_headers) else None


def holds(request_headers: Mapping[str, str], answer_headers: Mapping[str, str]) -> bool:
    """Return whether the client holds this response, by tag, or by date if it sends no tag (RFC 9110, 13.2.2).

    The date is compared for strong validators only: a response with a weak one may change twice within a second.
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
    """Return a time in the format of HTTP headers."""
    return format_datetime(time.astimezone(UTC), usegmt=True)
