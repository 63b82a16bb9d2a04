"""Synthetic tasks, which prove that schedule, queue, worker and catalogue work: sent, marked as completed, watched.

Beat sends one each minute, and so does every worker to itself. A worker that completes nothing although the queue
answers ends itself, and its supervisor starts another: Celery's workers are known to stay connected and to take no
more tasks after a restart of the broker. `python -m service.watchdog` checks the same from outside.
"""

import faulthandler
import logging
import os
import threading
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from functools import partial
from time import monotonic
from typing import Any, Final

from celery.exceptions import CeleryError
from celery.signals import task_postrun, worker_shutting_down
from kombu.exceptions import OperationalError
from redis.exceptions import RedisError
from sqlalchemy import Engine, delete, select

from core.settings import Settings
from core.times import iso
from ingest.store.database import reading, upsert, writing
from ingest.store.progress import MARK
from ingest.store.tables import HeartbeatRow
from service.tasks.queue import ALERTS, HEARTBEAT, SCHEDULE, own_queue

EXIT_CODE: Final = 70
CHECKS_PER_TASK: Final = 4
"""How often the watchdog looks in the interval of its synthetic tasks."""

MISSED_BEATS: Final = 3
ALERTS_WORKER: Final = f"{ALERTS}@"
"""First part of the names of processes of rules."""

WORKER_FORGOTTEN_AFTER: Final = timedelta(days=1)
"""A worker that has completed nothing for that time is no longer part of the installation."""

QUEUE_ERRORS: Final = (OperationalError, RedisError, CeleryError, OSError, RuntimeError)
"""What Celery raises where the queue does not answer."""

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Heartbeats:
    """Times of the last completed synthetic tasks; None where there was none yet.

    Attributes:
        schedule: of the schedule.
        any: of the schedule or of a worker's own.
        alerts: of a process of rules.
    """

    schedule: datetime | None
    any: datetime | None
    alerts: datetime | None


class Watchdog:
    """Watches one worker from a thread of its own process.

    Args:
        send: puts a synthetic task into the worker's queue.
        every_s: interval between two of them.
        late_s: the longest time from a sent task to the next completed one.
        die: ends the process.
        clock: steady time in seconds.
    """

    def __init__(
        self,
        send: Callable[[], object],
        every_s: float,
        late_s: float,
        die: Callable[[], None] | None = None,
        clock: Callable[[], float] = monotonic,
    ) -> None:
        self._send, self._every_s, self._late_s, self._clock = send, every_s, late_s, clock
        self._die = die or end_process
        self._next_at = clock()
        self._waiting_since: float | None = None
        self._stop = threading.Event()

    def start(self) -> None:
        """Begin to watch in a thread."""
        threading.Thread(target=self._watch, name="watchdog", daemon=True).start()

    def stop(self) -> None:
        """Stop watching: the worker is shutting down."""
        self._stop.set()

    def completed(self, **_: object) -> None:
        """Note that the worker has completed a task, whichever it is."""
        self._waiting_since = None

    def look(self) -> None:
        """Send a task when it is time, and end the process when none was completed in time."""
        now, since = self._clock(), self._waiting_since
        if now >= self._next_at:
            self._next_at = now + self._every_s
            try:
                self._send()
                self._waiting_since = now if since is None else since
            except QUEUE_ERRORS as err:
                log.warning("the queue takes no synthetic task: %s", type(err).__name__)
                self._waiting_since = None  # not the worker's fault; its time starts again when the queue answers
                return
        if since is not None and now - since > self._late_s and self._waiting_since == since:
            log.critical("no task was completed for %.0f s although the queue answers: this worker ends", now - since)
            self._die()

    def _watch(self) -> None:
        while not self._stop.is_set():
            self.look()
            self._stop.wait(self._every_s / CHECKS_PER_TASK)


def watch(app: Any, name: str, settings: Settings) -> None:
    """Start a thread that checks that the worker of this process completes tasks."""
    send = partial(send_heartbeat, app, name, own_queue(name), settings.heartbeat_s)
    watchdog = Watchdog(send, settings.heartbeat_s, late_after_s(settings))
    task_postrun.connect(watchdog.completed, weak=False)
    worker_shutting_down.connect(lambda **_: watchdog.stop(), weak=False)
    watchdog.start()


def end_process() -> None:
    """End the process at once, with a traceback of every thread."""
    faulthandler.dump_traceback(file=2)
    os._exit(EXIT_CODE)


def late_after_s(settings: Settings) -> float:
    """Return the time without a completed task after which a part counts as broken; a task may run for less."""
    return max(MISSED_BEATS * settings.heartbeat_s, settings.task_limit_s + settings.heartbeat_s)


def send_heartbeat(app: Any, giver: str, queue: str, expires_s: float, *, ignore_result: bool = True) -> str:
    """Put one synthetic task into a queue and return its id; a result that is not ignored costs a subscription."""
    arguments = (giver, iso(datetime.now(UTC)))
    return str(app.send_task(HEARTBEAT, arguments, queue=queue, expires=expires_s, ignore_result=ignore_result).id)


def mark_completed(engine: Engine, giver: str, given_at: datetime, now: datetime | None = None) -> None:
    """Store that a synthetic task was completed, and drop the marks of workers that are gone."""
    now = now or datetime.now(UTC)
    row = {"giver": giver, "given_at": given_at.astimezone(UTC), "completed_at": now.astimezone(UTC)}
    with writing(engine) as connection:
        connection.execute(upsert(HeartbeatRow, [row], connection.dialect.name))
        gone = ~HeartbeatRow.giver.startswith(MARK) & (HeartbeatRow.completed_at < now - WORKER_FORGOTTEN_AFTER)
        connection.execute(delete(HeartbeatRow).where(gone))


def last_heartbeats(engine: Engine) -> Heartbeats:
    """Return when a synthetic task was last completed: one of the schedule, any of workers, one of rules."""
    query = select(HeartbeatRow.giver, HeartbeatRow.completed_at).where(~HeartbeatRow.giver.startswith(MARK))
    with reading(engine) as connection:
        times = {row.giver: row.completed_at for row in connection.execute(query)}
    of_rules = [time for giver, time in times.items() if giver.startswith(ALERTS_WORKER)]
    of_others = [time for giver, time in times.items() if not giver.startswith(ALERTS_WORKER)]
    return Heartbeats(times.get(SCHEDULE), max(of_others, default=None), max(of_rules, default=None))
