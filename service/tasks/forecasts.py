"""The tasks of the worker: ids in, ids out, and each may run twice without harm."""

import logging
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import cache
from time import monotonic
from typing import Final

from celery.exceptions import SoftTimeLimitExceeded
from sqlalchemy import Engine

from core.errors import InputError, NoDataError, UnavailableError
from core.settings import get_settings
from core.times import iso
from ingest.store.locks import translate_os_errors
from ingest.store.progress import Part, ProgressRecorder, last_progress
from service.access.copies import copy_when_old
from service.forecasts.member_maker import lacks_members, make_members
from service.forecasts.nowcast import NowcastService
from service.forecasts.records import StoredForecast
from service.forecasts.retention import sweep_forecasts
from service.forecasts.schedule import ScheduledTime
from service.inference.request_scope import request_scope
from service.queries.rain_times import record_rain_times
from service.tasks.queue import (
    CYCLE,
    FORECASTS,
    HEARTBEAT,
    MAKE_BASELINES,
    MAKE_FORECAST,
    MAKE_MEMBERS,
    SWEEP,
    VERIFY,
    is_first,
    model_limit_s,
    queue,
    verify_every_s,
)
from service.tasks.watchdog import mark_completed
from service.telemetry.metrics import REFUSED
from service.telemetry.stages import stage

VERIFY_S: Final = 10.0
"""A verification task begins no further window after this time, so that a forecast never waits long."""

RECORD_S: Final = 5.0
"""The same for the record of stated starts and ends, of which each forecast of a half hour takes some seconds."""

SCORES_WAIT_S: Final = 60.0
"""How long scores, and the baselines that they compare with, wait for the forecasts of new scans."""

OVERDUE_S: Final = 150.0
"""Time without a verification, of at least three intervals of it, after which one goes before the next forecast."""

MOST_LACKING: Final = 10
LOG_REFUSAL_EVERY_S: Final = 3600
STARTED_AT: Final = datetime.now(UTC)
log = logging.getLogger(__name__)


@dataclass
class Patience:
    """Gives way to what is more urgent, but not for ever.

    Attributes:
        longest_s: since it had its time last.
    """

    longest_s: float
    clock: Callable[[], float] = monotonic

    def __post_init__(self) -> None:
        self._since_s = self.clock()

    def gives_way(self, is_urgent: bool) -> bool:
        """Return whether to do nothing now, or nothing more."""
        return is_urgent and self.clock() - self._since_s < self.longest_s

    def had_its_time(self) -> None:
        """Note that the work was not cut short by what is more urgent."""
        self._since_s = self.clock()


scores_patience: Final = Patience(SCORES_WAIT_S)
baselines_patience: Final = Patience(SCORES_WAIT_S)


@cache
def service() -> NowcastService:
    """Return the service of this process; it loads each model once."""
    made = NowcastService.from_settings(get_settings())
    made.baselines.claim = claim_baselines
    return made


def claim_baselines(forecast: StoredForecast) -> bool:
    """Return whether no other worker has begun the baselines of a window within the limit of a task.

    The window is what is claimed: its first forecast by id may be a baseline once that is stored.
    """
    return is_first(
        f"baselines:{forecast.inputs_sha256}:{len(forecast.lead_minutes)}", round(get_settings().task_limit_s)
    )


def record(part: Part) -> None:
    """Record that this worker has just done the work of a part."""
    _recorder(service().catalogue.engine, part).record()


@cache
def _recorder(engine: Engine, part: Part) -> ProgressRecorder:
    return ProgressRecorder(engine, part, get_settings())


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
    try:
        with service().healing.noticing(), request_scope(model_s=model_limit_s(get_settings())):
            return service().forecast_stored(time, model, scheduled=scheduled, with_baselines=False).id
    except SoftTimeLimitExceeded:
        log.error(
            "a forecast of %s took longer than NOWCAST_TASK_LIMIT_S (%.0f s): raise it, or set NOWCAST_GRID_M for "
            "larger grid cells",
            model,
            get_settings().task_limit_s,
        )
        raise


@queue.task(name=MAKE_BASELINES)
def make_baselines_task() -> str | None:
    """Make persistence and extrapolation of the newest forecast that lacks one of them; return its id.

    What lacks them is read from the catalogue, so nothing is lost by a restart. A scan that waits for its forecast goes
    first, but once a minute the baselines do: a worker that is always behind would never make any.
    """
    if baselines_patience.gives_way(bool(service().schedule.pending())):
        return None
    baselines_patience.had_its_time()
    for forecast in service().baselines.missing(service().verified_since(), limit=MOST_LACKING):
        if claim_baselines(forecast):
            service().baselines.compute(forecast)
            return forecast.id
    return None


@queue.task(name=MAKE_MEMBERS, throws=(NoDataError,))
def make_members_task() -> str | None:
    """Make the ensemble members of the newest forecast if it lacks them; return its id.

    What lacks them is read from the files, so nothing is lost by a restart, and a failed run is begun again. A forecast
    that is no longer the newest one stays without: a worker that is behind makes forecasts first.
    """
    settings = get_settings()
    try:
        forecast = service().latest()
    except NoDataError:
        return None
    if not lacks_members(forecast, settings.members):
        return None
    if not is_first(f"members:{forecast.id}", round(settings.task_limit_s)):
        return None
    with stage("members"), translate_os_errors(settings.home), service().healing.noticing():
        make_members(forecast, settings.members)
    return forecast.id


@queue.task(name=VERIFY, autoretry_for=(UnavailableError,), retry_backoff=True, retry_backoff_max=10, max_retries=2)
def verify_task() -> int:
    """Score forecasts whose observations have been stored since, for some seconds; return the number of counts.

    Before it, forecasts are made again whose files were found to be lost. While a scan waits for its forecast nothing
    is done, and nothing more once one has arrived, unless the last whole verification is a minute old: a worker that is
    always behind would never score.
    """
    if scores_patience.gives_way(bool(service().schedule.pending())):
        return 0
    service().baselines.make_again()
    done = service().verify_observed(VERIFY_S, _scores_give_way)
    if not _scores_give_way():
        record_rain_times(service(), RECORD_S)
        scores_patience.had_its_time()
    record("verification")
    return done


def _scores_give_way() -> bool:
    return scores_patience.gives_way(service().schedule.newest_is_pending())


@queue.task(name=SWEEP, autoretry_for=(UnavailableError,), retry_backoff=True, retry_backoff_max=30, max_retries=2)
def sweep_task() -> int:
    """Delete forecasts and exports by age and size, sum old scores, copy the databases; return the number of files."""
    deleted = sum(sweep_forecasts(service()).values())
    service().roll_up_scores()
    copy_when_old(get_settings())
    return deleted


@queue.task(name=HEARTBEAT)
def heartbeat_task(giver: str, given_at: str | None = None) -> None:
    """Mark a synthetic task as completed, for /readyz and the watchdog."""
    now = datetime.now(UTC)
    mark_completed(service().catalogue.engine, giver, datetime.fromisoformat(given_at) if given_at else now, now)


@queue.task(name=CYCLE)
def cycle_task() -> int:
    """Queue the forecast of the newest scan that has none and is not queued; return the number of forecasts.

    One at a time: a worker looks here again when it is done, so that the newest scan is always the next. A further
    worker finds the newest one queued and takes the one before it.
    """
    refusal = service().schedule.refusal()
    if refusal is not None and is_first(f"refused:{refusal.scan_time}", LOG_REFUSAL_EVERY_S):
        REFUSED.labels("too_old").inc()
        log.warning("no scheduled forecast: %s", refusal.reason)
    _report_skipped()
    _report_settings()
    wanted = service().schedule.queued()
    if wanted:
        _queue_overdue()
    queued = any(_queue_forecast(one) for one in wanted)
    record("worker")
    return int(queued)


def _report_skipped() -> None:
    """Log and count each scan that gets no forecast any more: forecasts take longer than the scans are apart."""
    for time in service().schedule.skipped():
        if is_first(f"skipped:{time}", LOG_REFUSAL_EVERY_S):
            REFUSED.labels("skipped").inc()
            log.warning("the scan of %s got no forecast in time; the newest scans go first", iso(time))


def _report_settings() -> None:
    """Log which setting the scans do not allow: at the start there may have been none."""
    trouble = service().setting_checks.trouble
    if trouble is not None and is_first(f"setting:{trouble}", LOG_REFUSAL_EVERY_S):
        log.error("a setting cannot be honoured: %s", trouble)


def _queue_overdue() -> None:
    """Queue baselines and a verification before the next forecast, where the last verification is long ago.

    Their own queue stands behind that of the forecasts: a worker that is always behind never reaches it. One that has
    no forecast to make does, so that nothing is looked up until there is one.
    """
    settings = get_settings()
    last = last_progress(service().catalogue.engine).get("verification")
    age_s = (datetime.now(UTC) - (last.at if last else STARTED_AT)).total_seconds()
    limit_s = round(settings.task_limit_s)
    if age_s <= max(OVERDUE_S, 3 * verify_every_s(settings)) or not is_first("verification overdue", limit_s):
        return
    for task in (make_baselines_task, verify_task):
        task.apply_async(queue=FORECASTS, expires=limit_s, ignore_result=True)


def _queue_forecast(one: ScheduledTime) -> bool:
    """Queue one forecast unless it is queued already: the next cycle may come before the forecast is done."""
    limit_s = round(get_settings().task_limit_s)
    time = one.reference_time.astimezone(UTC).isoformat()
    if not is_first(f"{one.model}:{time}:{one.made}", limit_s):
        return False
    make_forecast_task.apply_async((time, one.model, True), expires=get_settings().deadline_s, ignore_result=True)
    return True
