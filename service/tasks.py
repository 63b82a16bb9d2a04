"""What the worker does: each task passes ids in and out, and may run twice without harm."""

from datetime import UTC, datetime
from functools import cache

from core.errors import InputError, NoDataError, UnavailableError
from core.settings import get_settings
from service.nowcast import NowcastService
from service.worker import is_first, worker


@cache
def service() -> NowcastService:
    """The service of this process, with its models loaded once."""
    return NowcastService.from_settings(get_settings())


@worker.task(
    autoretry_for=(UnavailableError,),
    retry_backoff=True,
    retry_backoff_max=30,
    max_retries=5,
    throws=(InputError, NoDataError),
)
def make_forecast_task(reference_time: str | None, model: str) -> str:
    """Forecast from the stored scans up to `reference_time` (ISO 8601; None is the newest); gives the forecast's id."""
    time = datetime.fromisoformat(reference_time) if reference_time else None
    return service().forecast_stored(time, model).id


@worker.task
def verify_task() -> int:
    """Score every forecast whose observation has come in since; gives the number of new scores."""
    return service().verify_due()


@worker.task
def cycle_task() -> int:
    """Hand out a forecast for every new scan; gives the number handed out."""
    return sum(_hand_out(time, model) for time, model in service().pending())


def _hand_out(reference_time: datetime, model: str) -> bool:
    """Queue one forecast, unless it has just been queued: the next look may come before the forecast is made."""
    limit_s = round(get_settings().task_limit_s)
    time = reference_time.astimezone(UTC).isoformat()
    if not is_first(f"{model}:{time}", limit_s):
        return False
    make_forecast_task.apply_async((time, model), expires=get_settings().refuse_after_s)
    return True
