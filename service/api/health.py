"""/livez: this process answers. /readyz: it can serve."""

from datetime import UTC, datetime

from fastapi import APIRouter
from sqlalchemy.exc import SQLAlchemyError

from core.errors import NoDataError, NowcastError, UnavailableError
from core.times import iso
from service.api import jobs
from service.api.backend import Backend, BackendDep
from service.api.errors import documented
from service.schemas.listings import ReadyOut
from service.tasks.watchdog import last_heartbeats, late_after_s

router = APIRouter(tags=["health"])


@router.get("/livez", summary="This process answers")
async def live() -> dict[str, str]:
    """Always 200 while the process runs; asks nothing of store, model or broker."""
    return {"status": "alive"}


@router.get("/readyz", summary="The model is warm; catalogue, queue and worker answer", responses=documented())
def ready(backend: BackendDep) -> ReadyOut:
    """503 with the parts that are missing until a forecast could be served; old data are told, and are not missing."""
    checks = {
        "model": "ok" if backend.warm else backend.reason,
        "catalogue": _catalogue(backend),
        "broker": jobs.queue_state(backend.settings),
    }
    if checks["broker"] == "ok" and checks["catalogue"] == "ok":
        checks["worker"] = _worker(backend)
    missing = [f"{part}: {state}" for part, state in checks.items() if state not in ("ok", jobs.NO_QUEUE)]
    if missing:
        raise UnavailableError("; ".join(missing))
    data = _data(backend)
    told = {"device": backend.service.predictor.trouble or "ok", "data": data}  # models then run on the CPU
    return ReadyOut(status="stale" if data.startswith("stale") else "ready", checks={**checks, **told})


def _worker(backend: Backend) -> str:
    """Whether a synthetic task was completed lately, see `service.tasks.watchdog`."""
    late_s = late_after_s(backend.settings)
    last = last_heartbeats(backend.service.catalogue.engine).any
    if last is None:
        return "no task was completed yet"
    age_s = (datetime.now(UTC) - last).total_seconds()
    return "ok" if age_s <= late_s else f"no task was completed for {age_s:.0f} s; one within {late_s:.0f} s was due"


def _data(backend: Backend) -> str:
    service, settings = backend.service, backend.settings
    newest = service.store.latest()
    if newest is None:
        return "no scan is stored yet"
    age_s = (service.now() - newest.valid_time).total_seconds()
    if age_s <= settings.stale_after_s:
        return "ok"
    refusal = service.refusal()
    told = f"stale: the newest scan, of {iso(newest.valid_time)}, is {age_s:.0f} s old"
    return f"{told}; no scheduled forecast: {refusal.reason}" if refusal else told


def _catalogue(backend: Backend) -> str:
    try:
        backend.service.latest()
    except NoDataError:
        return "ok"  # it answered: nothing is stored yet
    except (NowcastError, SQLAlchemyError, OSError) as err:
        return f"no answer: {err}"
    return "ok"
