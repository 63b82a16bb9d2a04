"""The process of rules on the command line: `celery -A service.alerter worker --queues alerts --pool threads`.

Importing it registers the tasks of rules and the log; it loads no model.
"""

import logging
from typing import Any

from celery.signals import celeryd_after_setup, setup_logging, worker_init, worker_ready

from core.errors import ConfigError
from core.logs import set_up_logs
from core.settings import Settings, get_settings
from ingest.store.schema import check_before_start
from service.alerts import channels as channels
from service.alerts.arrivals import notification_problem
from service.alerts.channels.base import problems_of
from service.alerts.regions import regions_of
from service.alerts.rulebook import rules_url
from service.tasks import alerts as alerts
from service.tasks.queue import own_queue
from service.tasks.queue import queue as queue
from service.tasks.watchdog import watch
from service.telemetry.start import start_telemetry

log = logging.getLogger(__name__)


@setup_logging.connect
def set_up_logging(loglevel: int | str, **_: object) -> None:
    """Write log lines of our format in place of Celery's own."""
    level = logging.getLevelName(loglevel) if isinstance(loglevel, int) else loglevel
    set_up_logs("alerts", level, get_settings().log_format)


@worker_init.connect
def check_start(**_: object) -> None:
    """Check databases and regions before the first task."""
    settings = get_settings()
    try:
        start_telemetry("alerts", settings)
        for url in (settings.catalogue_url, rules_url(settings)):
            check_before_start(url)
        len(regions_of(settings.regions).names)
        for problem in settings_problems(settings):
            log.error("%s", problem)
    except ConfigError as err:
        # Celery logs an exception of a handler and starts all the same; SystemExit ends the process.
        raise SystemExit(f"cannot start: {err}") from err


def settings_problems(settings: Settings) -> list[str]:
    """Return one line for each channel of alerts that the settings do not allow; each names its setting."""
    notifications = notification_problem(settings)
    found = [*problems_of(settings), *([notifications] if notifications else [])]
    return [f"some alerts are not delivered: {problem}" for problem in dict.fromkeys(found)]


@celeryd_after_setup.connect
def serve_own_queue(sender: str, instance: Any, **_: object) -> None:
    """Take the synthetic tasks of this process's own watchdog."""
    instance.app.amqp.queues.select_add(own_queue(sender))


@worker_ready.connect
def start_watchdog(sender: Any, **_: object) -> None:
    """Start the thread that checks that this process completes tasks."""
    watch(queue, sender.hostname, get_settings())
