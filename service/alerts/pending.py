"""Which forecasts are to be evaluated, in the order of their reference times."""

from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import Final

from sqlalchemy import Engine, delete, func, select

from core.settings import Settings
from ingest.store.database import reading, writing
from service.alerts.evaluation import Part, enter_evaluation
from service.alerts.tables import AlertRow, DeliveryRow, EvaluationRow, RuleEventRow, SubscriberRow
from service.forecasts.member_maker import lacks_members
from service.forecasts.nowcast import NowcastService
from service.forecasts.records import StoredForecast

MEMBERS_WAIT: Final = timedelta(seconds=60)
"""Time that sums wait for the ensemble members of a forecast, counted from its issue; then its rates decide."""

MOST_AT_ONCE: Final = 24
KEPT: Final = timedelta(days=30)
"""How long events, sent messages, evaluations and unconfirmed subscribers are kept."""


def pending(
    service: NowcastService, engine: Engine, part: Part, now: datetime, settings: Settings
) -> Sequence[StoredForecast]:
    """Return the forecasts to evaluate, ascending: newer than the last evaluated one, and not stale.

    Args:
        service: of the forecasts.
        engine: of the rules.
        part: of the rules.
        now: by the wall clock.
        settings: of the service.
    """
    waiting = newer_forecasts(service, engine, part, settings)
    if part == "sums":
        waiting = [one for one in waiting if _has_sums(one, one is waiting[-1], now, settings)]
    return waiting[-MOST_AT_ONCE:]


def newer_forecasts(service: NowcastService, engine: Engine, part: str, settings: Settings) -> Sequence[StoredForecast]:
    """Return the scheduled forecasts that are newer than the last one with which a part was done, ascending."""
    last = last_evaluated(engine, part)
    fresh = service.now() - timedelta(seconds=settings.stale_after_s)
    start = fresh if last is None else max(last, fresh)
    newest: dict[datetime, StoredForecast] = {}
    for forecast in service.list(model=settings.model, origin="scans", start=start):
        # of one reference time the last that was made counts
        if not forecast.has_file:  # set aside as damaged: it keeps no later one waiting
            continue
        known = newest.get(forecast.reference_time)
        if known is None or forecast.issued_at > known.issued_at:
            newest[forecast.reference_time] = forecast
    return sorted((one for one in newest.values() if last is None or one.reference_time > last), key=_time)


def mark_evaluated(engine: Engine, forecast: StoredForecast, part: str) -> None:
    """Enter that a part of rules' work was done with a forecast."""
    with writing(engine) as connection:
        enter_evaluation(connection, forecast, part)


def last_evaluated(engine: Engine, part: str) -> datetime | None:
    """Return the reference time of the newest forecast with which rules were evaluated; None before the first."""
    newest = select(func.max(EvaluationRow.reference_time)).where(EvaluationRow.part == part)
    with reading(engine) as connection:
        found: datetime | None = connection.scalar(newest)
    return found


def clear(engine: Engine, now: datetime, alerts_keep_days: float) -> int:
    """Delete events, ended messages, evaluations and past alerts that are too old; return the number of rows.

    The outcomes of deleted alerts stay in the counts of their rule. Subscribers that never agreed go too.
    """
    before = now - KEPT
    past = AlertRow.ended_at.is_not(None) & (AlertRow.outcome != "open")
    old = (
        delete(DeliveryRow).where(DeliveryRow.state.in_(("sent", "dead")), DeliveryRow.created_at < before),
        delete(RuleEventRow).where(RuleEventRow.created_at < before),
        delete(EvaluationRow).where(EvaluationRow.evaluated_at < before),
        delete(AlertRow).where(past, AlertRow.raised_at < now - timedelta(days=alerts_keep_days)),
        delete(SubscriberRow).where(SubscriberRow.is_confirmed.is_(False), SubscriberRow.asked_at < before),
    )
    with writing(engine) as connection:
        return sum(connection.execute(each).rowcount for each in old)


def _time(forecast: StoredForecast) -> datetime:
    return forecast.reference_time


def _has_sums(forecast: StoredForecast, is_newest: bool, now: datetime, settings: Settings) -> bool:
    """Return whether to evaluate sums: the members are made, or they will not be."""
    if not is_newest or not settings.members or not lacks_members(forecast, settings.members):
        return True
    return abs(now - forecast.issued_at) > MEMBERS_WAIT
