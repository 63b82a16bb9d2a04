"""GET /livez: whether this process runs. GET /readyz: whether it can serve forecasts."""

import logging
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from typing import Final

from fastapi import APIRouter
from sqlalchemy.exc import SQLAlchemyError

from core.errors import NoDataError, NowcastError, UnavailableError
from core.mounts import files_state
from core.settings import Settings
from core.times import iso
from ingest.sources import attribution_of
from ingest.store.progress import CATALOGUE, LastWork, last_progress
from service.alerts.progress import progress_of
from service.alerts.rulebook import rule_book
from service.api import jobs
from service.api.backend import Backend, BackendDep
from service.api.errors import documented, public_reason
from service.forecasts.nowcast import NowcastService
from service.forecasts.pace import replay_state
from service.schemas.listings import ReadyOut, WaitingOut
from service.tasks.liveness import PARTS, lateness
from service.tasks.watchdog import last_heartbeats, late_after_s

router = APIRouter(tags=["health"])
log = logging.getLogger(__name__)

WINDOW: Final = timedelta(hours=2)
LEAST_SCANS: Final = 2
MOST_CYCLES: Final = 2
"""Cycles of the scans without a new forecast, after which the service is not ready."""

TOLERANCE: Final = timedelta(minutes=1)
"""Added to them: no two scans arrive, and no two forecasts are made, in exactly the same time."""

LONGEST_CADENCE: Final = timedelta(minutes=30)
"""Taken where a single scan is known."""

MOST_BEHIND: Final = timedelta(minutes=10)
"""Rules that were evaluated with a forecast this much older than the newest one are not called behind."""


@router.get("/livez", summary="Whether this process runs")
async def check_live() -> dict[str, str]:
    """Return 200 while the process runs, without checking store, model or broker."""
    return {"status": "alive"}


@router.get("/readyz", summary="Whether the service can make forecasts", responses=documented())
def check_ready(backend: BackendDep) -> ReadyOut:
    """Return 503 with the parts that are not ready, until a current forecast can be served.

    Where there is a queue, each part must have done its own work in time (`NOWCAST_PART_LATE_S`), and no forecast may
    be missing for more than two cycles of the scans. A replay that is slowed down by its forecasts says so under
    `replay`.
    """
    checks = {
        "model": "ok" if backend.warm else backend.reason,
        "catalogue": _catalogue(backend),
        "broker": jobs.queue_state(backend.settings),
    }
    if (files := files_state(backend.settings)) is not None:
        checks["files"] = files
    progress = last_progress(backend.service.catalogue.engine) if checks["catalogue"] == "ok" else {}
    if checks["broker"] == "ok" and checks["catalogue"] == "ok":
        checks |= _work(backend, progress)
    missing = [f"{part}: {state}" for part, state in checks.items() if state not in ("ok", jobs.NO_QUEUE)]
    data = _data(backend) if checks["catalogue"] == "ok" else ""
    if missing:
        missing += [f"data: {data}"] if data.startswith("stale") else []  # the reason where no forecast follows
        raise UnavailableError("; ".join(missing))
    # none makes the service unready: without the device, models run on the CPU
    more = {"device": backend.service.predictor.trouble or "ok", "data": data}
    if checks.get("worker") == "ok":
        more["alerts"] = _alerts(backend, progress)
        more |= _recorded_anew(backend.settings, progress)
    more["settings"] = backend.service.setting_checks.trouble or "ok"
    if backend.settings.source_kind == "replay":
        more["replay"] = replay_state(backend.settings.home)
    return ReadyOut(
        status="stale" if data.startswith("stale") else "ready",
        checks={**checks, **more},
        waiting_for=waiting_for(backend),
    )


def _work(backend: Backend, progress: Mapping[str, LastWork]) -> dict[str, str]:
    """Return whether each expected part does its work, and whether forecasts appear."""
    settings, engine, now = backend.settings, backend.service.catalogue.engine, datetime.now(UTC)
    found = {"worker": _lateness(backend, last_heartbeats(engine).any, progress)}
    states = {part: lateness(part, settings, progress, backend.started_at, now) for part in PARTS}
    is_idle = states["beat"] != "ok"  # without tasks a worker has nothing to do
    if found["worker"] == "ok" and not is_idle and "worker" in settings.ready_parts:
        found["worker"] = states["worker"]
    found |= {part: states[part] for part in PARTS if part != "worker" and part in settings.ready_parts}
    if is_idle and "verification" in found:
        found["verification"] = "ok"
    if "forecast" in settings.ready_parts:
        found["forecast"] = newest_forecast_state(backend.service)
    return found


def _recorded_anew(settings: Settings, progress: Mapping[str, LastWork]) -> dict[str, str]:
    """Return which parts have not yet recorded their work in a catalogue that was entered again; empty once all have.

    They count as working until their time is over, since what they recorded before is lost with the old one.
    """
    rebuilt = progress.get(CATALOGUE)
    expected = [part for part in PARTS if part in settings.ready_parts]
    lacking = [part for part in expected if rebuilt and (part not in progress or progress[part].at < rebuilt.at)]
    if not rebuilt or not lacking:
        return {}
    return {"progress": f"the catalogue was entered again at {iso(rebuilt.at)}; no work since of {', '.join(lacking)}"}


def newest_forecast_state(service: NowcastService) -> str:
    """Return "ok", or since when the scans' cadence lets expect a newer forecast; a replay counts by its own time.

    A forecast counts from when it was made: a source that is always late, or from which older scans are taken, has
    forecasts that are old from the start.
    """
    try:
        newest = service.latest()
    except NoDataError:
        return "ok"  # `waiting_for` says why
    cadence = service.schedule.cadence(newest.product) or LONGEST_CADENCE
    since = newest.reference_time if service.settings.source_kind == "replay" else newest.issued_at
    age = service.now() - since
    if age <= MOST_CYCLES * cadence + TOLERANCE:
        return "ok"
    minutes = cadence / timedelta(minutes=1)
    return (
        f"expected a new one every {minutes:.0f} minutes, the newest, of {iso(newest.reference_time)}, was made "
        f"{age.total_seconds():.0f} s ago"
    )


def _alerts(backend: Backend, progress: Mapping[str, LastWork]) -> str:
    """Return whether the process of rules works, and how far it is behind the newest forecast."""
    state = _lateness(backend, last_heartbeats(backend.service.catalogue.engine).alerts, progress)
    if state != "ok":
        return state
    evaluated = progress_of(rule_book(backend.settings).engine).evaluated.get("rates")
    try:
        newest = backend.service.latest().reference_time
    except NoDataError:
        return "ok"
    if evaluated is not None and newest - evaluated <= MOST_BEHIND:
        return "ok"
    with_which = f"that of {iso(evaluated)}" if evaluated else "none"
    return f"behind: the newest forecast is of {iso(newest)}, rules were evaluated with {with_which}"


def _lateness(backend: Backend, last: datetime | None, progress: Mapping[str, LastWork]) -> str:
    """Return "ok", or since when no synthetic task was completed."""
    late_s, now = late_after_s(backend.settings), datetime.now(UTC)
    rebuilt = progress.get(CATALOGUE)
    if rebuilt is not None and (now - rebuilt.at).total_seconds() <= late_s:
        return "ok"  # marks of earlier tasks are lost with the old catalogue
    if last is None:
        return "no synthetic task completed yet"
    age_s = (now - last).total_seconds()
    return (
        "ok"
        if age_s <= late_s
        else f"expected a synthetic task within {late_s:.0f} s, the last one completed {age_s:.0f} s ago"
    )


def _data(backend: Backend) -> str:
    service, settings = backend.service, backend.settings
    newest = service.store.latest()
    if newest is None:
        return "no scan is stored yet"
    age_s = (service.now() - newest.valid_time).total_seconds()
    if age_s <= settings.stale_after_s:
        return "ok"
    refusal = service.schedule.refusal()
    reason = f"stale: the newest scan, of {iso(newest.valid_time)}, is {age_s:.0f} s old"
    return f"{reason}; no scheduled forecast: {refusal.reason}" if refusal else reason


def _catalogue(backend: Backend) -> str:
    try:
        backend.service.latest()
    except NoDataError:
        return "ok"  # it responds; nothing is stored yet
    except (NowcastError, SQLAlchemyError, OSError) as err:
        log.warning("the catalogue does not respond: %s", err)
        return f"no response: {public_reason(err)}"
    return "ok"


def waiting_for(backend: Backend) -> WaitingOut | None:
    """Return what the first forecast waits for; None once there is a forecast."""
    service = backend.service
    try:
        service.latest()
        return None
    except NoDataError:
        pass
    newest = service.store.latest()
    if newest is None:
        return WaitingOut(kind="first scan", detail=f"no radar scan has been read yet from {_source(backend)}")
    refusal = service.schedule.refusal()
    if refusal is not None:
        return _old_scans(backend, refusal.reason)
    scans = service.store.scans(product=newest.product, start=newest.valid_time - WINDOW, end=newest.valid_time)
    if len(scans) < LEAST_SCANS:
        detail = f"one scan is stored, of {iso(newest.valid_time)}; a forecast needs a second one, for the motion"
        return WaitingOut(kind="second scan", detail=detail)
    detail = f"the forecast from the {len(scans)} scans up to {iso(newest.valid_time)} is being computed"
    return WaitingOut(kind="first forecast", detail=detail)


def _old_scans(backend: Backend, reason: str) -> WaitingOut:
    """Return that the scans are too old; recordings in a watched folder can be played as if they were of today."""
    settings = backend.settings
    if settings.source_kind != "directory":
        return WaitingOut(kind="recent scans", detail=f"{reason}; {_source(backend)} has no newer one yet")
    folder = settings.source or "FOLDER"
    return WaitingOut(
        kind="recent scans",
        detail=f"{reason}. The files may be recordings: a replay plays them with current times",
        command=f"nowcast run --replay {folder}",
    )


def _source(backend: Backend) -> str:
    settings = backend.settings
    provider = attribution_of(settings.source_kind)
    if settings.source is not None:
        return f"{settings.source}"
    return provider or f"the source {settings.source_kind!r}"
