"""Proof that the worker works: a synthetic task that goes through queue, worker and catalogue.

Every worker gives itself one each minute and ends itself if it completes nothing although the queue answers (Celery's
workers are known to stay connected and take no more tasks after a broker's restart); whoever runs it starts it again.
`python -m service.watchdog` asks from outside, for a container's health check: it ends with 0 or 1.
"""

import faulthandler
import logging
import os
import threading
from collections.abc import Callable
from datetime import UTC, datetime
from time import monotonic, sleep
from typing import Annotated, Any, Final

import typer
from celery.exceptions import CeleryError
from celery.states import READY_STATES
from kombu.exceptions import OperationalError
from redis.exceptions import RedisError

from core.frame import iso
from service.tasks.queues import BEAT, own_queue

TASK: Final = "service.tasks.forecasts.heartbeat_task"
EXIT_CODE: Final = 70
POLL_S: Final = 0.1
LOOKS: Final = 4
"""Looks per synthetic task."""
log = logging.getLogger(__name__)


class Watchdog:
    """Watches one worker from a thread of its own process.

    Args:
        give: puts a synthetic task into the worker's queue.
        every_s: between two of them.
        late_s: so long after one was given the worker must have completed something.
        die: ends the process.
    """

    def __init__(
        self,
        give: Callable[[], object],
        every_s: float,
        late_s: float,
        die: Callable[[], None] | None = None,
        clock: Callable[[], float] = monotonic,
    ) -> None:
        self._give, self._every_s, self._late_s, self._clock = give, every_s, late_s, clock
        self._die = die or end_process
        self._next_at = clock()
        self._waiting_since: float | None = None
        self._stop = threading.Event()

    def start(self) -> None:
        """Watch from now on."""
        threading.Thread(target=self._watch, name="watchdog", daemon=True).start()

    def stop(self) -> None:
        """Watch no longer: the worker ends by itself."""
        self._stop.set()

    def completed(self, **_: object) -> None:
        """The worker has ended a task, any task."""
        self._waiting_since = None

    def look(self) -> None:
        """Give a task when it is time, and end the process when it is late."""
        now, since = self._clock(), self._waiting_since
        if now >= self._next_at:
            self._next_at = now + self._every_s
            try:
                self._give()
                self._waiting_since = now if since is None else since
            except (OperationalError, RedisError, CeleryError, OSError, RuntimeError) as err:
                log.warning("the queue takes no synthetic task: %s", type(err).__name__)
                self._waiting_since = None  # not the worker's fault; its time counts anew when the queue answers
                return
        if since is not None and now - since > self._late_s and self._waiting_since == since:
            log.critical("no task was completed for %.0f s although the queue answers: this worker ends", now - since)
            self._die()

    def _watch(self) -> None:
        while not self._stop.is_set():
            self.look()
            self._stop.wait(self._every_s / LOOKS)


def end_process() -> None:
    """End at once, saying where every thread is."""
    faulthandler.dump_traceback(file=2)
    os._exit(EXIT_CODE)


def give_heartbeat(app: Any, giver: str, queue: str, expires_s: float, *, ignore_result: bool = True) -> str:
    """Put one synthetic task into a queue; its id. Whose result is not ignored is followed by the backend for ever."""
    arguments = (giver, iso(datetime.now(UTC)))
    return str(app.send_task(TASK, arguments, queue=queue, expires=expires_s, ignore_result=ignore_result).id)


def main(
    worker_name: Annotated[str | None, typer.Option("--worker", help="one worker, as celery@HOST; else any")] = None,
    within_s: Annotated[float, typer.Option(min=1, help="seconds in which it has to be completed")] = 60.0,
) -> None:
    """Give out a synthetic task and wait until a worker has completed it."""
    from service.worker import worker

    queue = own_queue(worker_name) if worker_name else BEAT
    try:
        state = _state_of_one(worker, queue, within_s)
    except (OperationalError, RedisError, CeleryError, OSError, RuntimeError) as err:
        typer.echo(f"the queue does not answer: {type(err).__name__}", err=True)
        raise typer.Exit(1) from None
    if state != "SUCCESS":
        told = "failed in" if state == "FAILURE" else f"was completed within {within_s:g} s of"
        typer.echo(f"{'a' if state == 'FAILURE' else 'no'} synthetic task {told} the queue {queue}", err=True)
        raise typer.Exit(1)
    typer.echo("completed")


def _state_of_one(app: Any, queue: str, within_s: float) -> str:
    """The state of a new synthetic task when it has ended, or at last."""
    ends_at = monotonic() + within_s
    app.backend.client.ping()  # quickly, while Celery itself would try for long
    task_id = give_heartbeat(app, "healthcheck", queue, within_s, ignore_result=False)
    while (state := str(app.backend.get_task_meta(task_id)["status"])) not in READY_STATES and monotonic() < ends_at:
        sleep(POLL_S)
    return state
