"""Why the service has no forecast yet: no scan, a single one, or scans that are too old for a live forecast."""

from datetime import timedelta
from typing import Final

from core.errors import NoDataError
from core.times import iso
from ingest.sources import attribution_of
from service.api.backend import Backend
from service.schemas.listings import WaitingOut

WINDOW: Final = timedelta(hours=2)
LEAST_SCANS: Final = 2


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
