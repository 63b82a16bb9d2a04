"""Tasks of rules: evaluation once for each forecast, cancellation of stale alerts, and clearing."""

import logging
from collections.abc import Sequence
from datetime import UTC, datetime

from core.errors import NoDataError, NowcastError, UnavailableError
from core.settings import get_settings
from ingest.store.locks import translate_os_errors
from service.access.keybook import KeyBook
from service.alerts import channels as channels
from service.alerts.arrivals import announce
from service.alerts.cells import cells_of
from service.alerts.delivery import deliver
from service.alerts.evaluation import Part, cancel_all, evaluate
from service.alerts.pending import clear, pending
from service.alerts.regions import regions_of
from service.alerts.rulebook import RuleBook, rule_book
from service.tasks.forecasts import service
from service.tasks.queue import CLEAR_ALERTS, DELIVER_ALERTS, EVALUATE_RULES, is_first, queue
from service.telemetry.stages import stage

PARTS: tuple[Part, ...] = ("rates", "sums")
LOG_EVERY_S = 600
log = logging.getLogger(__name__)


@queue.task(name=EVALUATE_RULES, autoretry_for=(UnavailableError,), retry_backoff=True, max_retries=2)
def evaluate_rules_task() -> int:
    """Evaluate all rules with each forecast that is new since, and cancel alerts of stale data; return the events.

    Which forecasts these are is read from the databases, so nothing is lost by a restart.
    """
    settings = get_settings()
    book, cells = rule_book(settings), cells_of(regions_of(settings.regions))
    revoked = [key.id for key in KeyBook.from_settings(settings).list() if key.revoked_at is not None]
    count = _cancel_revoked(book, revoked)
    for part in PARTS:
        for forecast in pending(service(), book.engine, part, datetime.now(UTC), settings):
            with stage(f"rules_{part}"), translate_os_errors(settings.home):
                done = evaluate(book, forecast, cells, part, service().now(), revoked)
            if done is not None:
                count += done.events
                log.info("%d rules, %d events in %.2f s (%s)", done.rules, done.events, done.seconds, part)
    return count + _cancel_stale()


@queue.task(name=DELIVER_ALERTS, autoretry_for=(UnavailableError,), retry_backoff=True, max_retries=2)
def deliver_alerts_task() -> int:
    """Send the messages that wait, then notify of new forecasts; return how many messages were delivered."""
    done = deliver(rule_book(get_settings()).engine, get_settings())
    if done.failed:
        log.warning("%d messages of alerts delivered, %d not, %d postponed", done.sent, done.failed, done.postponed)
    _announce()
    return done.sent


@queue.task(name=CLEAR_ALERTS)
def clear_alerts_task() -> int:
    """Delete old events and messages; return the number of rows."""
    return clear(rule_book(get_settings()).engine, datetime.now(UTC), get_settings().alerts_keep_days)


def _announce() -> None:
    """Notify of new forecasts; whatever fails here delays no alert by more than one attempt."""
    settings = get_settings()
    try:
        announce(service(), rule_book(settings).engine, settings)
    except (NowcastError, OSError) as err:
        if is_first("no notification of forecasts", LOG_EVERY_S):
            log.warning("no notification of new forecasts: %s", err)


def _cancel_revoked(book: RuleBook, revoked: Sequence[str]) -> int:
    """Cancel the alerts of revoked keys, whose rules are not evaluated any more; return their number."""
    return cancel_all(book, service().now(), service().now(), "key_revoked", revoked) if revoked else 0


def _cancel_stale() -> int:
    """Cancel all alerts where the newest forecast is stale; return their number."""
    try:
        newest = service().latest()
    except NoDataError:
        return 0
    if newest.status != "stale":
        return 0
    cancelled = cancel_all(rule_book(get_settings()), service().now(), newest.reference_time)
    if cancelled and is_first("stale alerts", 60):
        log.warning("%d alerts cancelled: the newest radar data are stale", cancelled)
    return cancelled
