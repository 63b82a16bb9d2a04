"""The tasks of the worker: ids in, ids out, and each may run twice without harm."""

import logging
from datetime import UTC, datetime
from functools import cache
from typing import Final

from core.errors import InputError, NoDataError, UnavailableError
from core.settings import get_settings
from service.forecasts.nowcast import NowcastService
from service.forecasts.retention import sweep_forecasts
from service.tasks.queue import CYCLE, HEARTBEAT, MAKE_FORECAST, SWEEP, VERIFY, is_first, queue
from service.tasks.watchdog import mark_completed
from service.telemetry.metrics import REFUSED

VERIFY_S: Final = 10.0
"""A verification task begins no further window after this time, so that a forecast never waits long."""

LOG_REFUSAL_EVERY_S: Final = 3600
log = logging.getLogger(__name__)


@cache
def service() -> NowcastService:
    """Return the service of this process; it loads each model once."""
    return NowcastService.from_settings(get_settings())


@queue.task(
    name=MAKE_FORECAST,
    autoretry_for=(UnavailableError,),
    retry_backoff=True,
    retry_backoff_max=30,
    max_retries=5,
    throws=(InputError, NoDataError),
)
def make_forecast_task(reference_time: str | None, model: str, scheduled: bool = False) -> str:
    """Forecast from the stored scans up to `reference_time` (ISO 8601; None: the newest); return the forecast's id."""
    time = datetime.fromisoformat(reference_time) if reference_time else None
    return service().forecast_stored(time, model, scheduled=scheduled).id


@queue.task(name=VERIFY, autoretry_for=(UnavailableError,), retry_backoff=True, retry_backoff_max=10, max_retries=2)
def verify_task() -> int:
    """Score forecasts whose observations have been stored since, for some seconds; return the number of counts."""
    return service().verify_observed(VERIFY_S)


@queue.task(name=SWEEP, autoretry_for=(UnavailableError,), retry_backoff=True, retry_backoff_max=30, max_retries=2)
def sweep_task() -> int:
    """Delete forecasts and exports by age and size, and sum old scores; return the number of files."""
    deleted = sum(sweep_forecasts(service()).values())
    service().roll_up_scores()
    return deleted


@queue.task(name=HEARTBEAT)
def heartbeat_task(giver: str, given_at: str | None = None) -> None:
    """Mark a synthetic task as completed, for /readyz and the watchdog."""
    now = datetime.now(UTC)
    mark_completed(service().catalogue.engine, giver, datetime.fromisoformat(given_at) if given_at else now, now)


@queue.task(name=CYCLE)
def cycle_task() -> int:
    """Queue a forecast for every new scan; return the number of forecasts."""
    refusal = service().schedule.refusal()
    if refusal is not None and is_first(f"refused:{refusal.scan_time}", LOG_REFUSAL_EVERY_S):
        REFUSED.labels("too_old").inc()
        log.warning("no scheduled forecast: %s", refusal.reason)
    return sum(_queue_forecast(time, model) for time, model in service().schedule.pending())


def _queue_forecast(reference_time: datetime, model: str) -> bool:
    """Queue one forecast unless it is queued already: the next cycle may come before the forecast is done."""
    limit_s = round(get_settings().task_limit_s)
    time = reference_time.astimezone(UTC).isoformat()
    if not is_first(f"{model}:{time}", limit_s):
        return False
    make_forecast_task.apply_async((time, model, True), expires=get_settings().deadline_s, ignore_result=True)
    return True
