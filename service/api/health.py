"""/livez: this process answers. /readyz: it can serve."""

from fastapi import APIRouter
from sqlalchemy.exc import SQLAlchemyError

from core.errors import NoDataError, NowcastError, UnavailableError
from service.api import jobs
from service.api.backend import Backend, BackendDep
from service.api.errors import documented
from service.api.listings import ReadyOut

router = APIRouter(tags=["health"])


@router.get("/livez", summary="This process answers")
async def live() -> dict[str, str]:
    """Always 200 while the process runs; asks nothing of store, model or broker."""
    return {"status": "alive"}


@router.get("/readyz", summary="The model is warm, catalogue and broker answer", responses=documented())
def ready(backend: BackendDep) -> ReadyOut:
    """503 with the parts that are missing until a forecast could be served."""
    checks = {
        "model": "ok" if backend.warm else backend.reason,
        "catalogue": _catalogue(backend),
        "broker": jobs.queue_state(backend.settings),
    }
    missing = [f"{part}: {state}" for part, state in checks.items() if state not in ("ok", jobs.NO_QUEUE)]
    if missing:
        raise UnavailableError("; ".join(missing))
    return ReadyOut(checks=checks)


def _catalogue(backend: Backend) -> str:
    try:
        backend.service.latest()
    except NoDataError:
        return "ok"  # it answered: nothing is stored yet
    except (NowcastError, SQLAlchemyError, OSError) as err:
        return f"no answer: {err}"
    return "ok"
