"""The clock of the schedule: with any number of beat processes each task is sent once in its interval.

Celery's own scheduler in memory, with two changes. Before it sends a task it claims it in Redis for nine tenths of the
interval; a scheduler that finds a claim does not send. There is no leader and no lock that could be lost, so nothing
waits when a beat dies. And it measures time, that of claims too, by a steady clock: Redis ends a claim by the wall
clock, and one that is set back would otherwise stop the schedule for as long as it was set back. A queue server that is
away or full is one line a minute, and no traceback for each task.
"""

import logging
import math
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from time import monotonic
from typing import Any, ClassVar, Final
from uuid import uuid4

from celery.beat import ScheduleEntry, Scheduler, SchedulingError

from service.tasks.watchdog import QUEUE_ERRORS

CLAIMED_PART: Final = 0.9
KEY: Final = "nowcast-given-out:"
TAKE_OVER: Final = """
if redis.call('get', KEYS[1]) ~= ARGV[1] then return 0 end
redis.call('set', KEYS[1], ARGV[2], 'PX', ARGV[3])
return 1
"""
"""Script for Redis: replace a claim that is still the same by another one, atomically."""

REPORT_EVERY_S: Final = 60.0
log = logging.getLogger(__name__)
_STARTED_AT: Final = datetime.now(UTC) - timedelta(seconds=monotonic())


def steady_now() -> datetime:
    """Return this process's start by the wall clock plus the steady time since, so that no step of the clock shows."""
    return _STARTED_AT + timedelta(seconds=monotonic())


class SteadyEntry(ScheduleEntry):
    """Entry of the schedule whose next time is measured by `steady_now`."""

    def __init__(self, *, last_run_at: datetime | None = None, **kwargs: Any) -> None:
        super().__init__(last_run_at=last_run_at, **kwargs)
        kept: Any = self.schedule
        kept.nowfun = steady_now
        self.last_run_at = last_run_at or steady_now()


class OnceScheduler(Scheduler):
    """Scheduler that sends each entry once in its interval, over all schedulers on one Redis."""

    Entry = SteadyEntry
    left_to_another: ClassVar[Callable[[], object]] = staticmethod(lambda: None)
    """Called where another scheduler has sent a task: this one works, though it may never send any."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        self._seen: dict[str, tuple[bytes, float]] = {}
        self._unsent, self._reported_s = 0, -math.inf
        super().__init__(*args, **kwargs)

    def apply_entry(self, entry: Any, producer: Any = None) -> None:
        """Send a due task; one that the queue does not take is dropped, since the schedule repeats each task."""
        try:
            self.apply_async(entry, producer=producer, advance=False)
        except (*QUEUE_ERRORS, SchedulingError) as err:  # the latter where the task is claimed, and then not sent
            self._report(entry.name, err)
        except Exception:
            log.exception("a task is not sent: %s", entry.name)
        else:
            self._report_end()

    def _report(self, name: str, err: Exception) -> None:
        """Log why a task is not sent: the first one, and then once a minute."""
        self._unsent += 1
        if monotonic() - self._reported_s < REPORT_EVERY_S:
            return
        self._reported_s = monotonic()
        reason = f"{type(err).__name__}: {err}"
        log.warning(
            "the queue takes no task, so that %d were not sent, the last one %r: %s", self._unsent, name, reason
        )

    def _report_end(self) -> None:
        if self._unsent:
            log.warning("the queue takes tasks again; %d were not sent", self._unsent)
            self._unsent, self._reported_s = 0, -math.inf

    def apply_async(self, entry: Any, producer: Any = None, advance: bool = True, **kwargs: Any) -> Any:
        """Send the task; return None without sending where another scheduler has just sent it."""
        if not self._claim(entry):
            type(self).left_to_another()
            return None
        return super().apply_async(entry, producer=producer, advance=advance, **kwargs)

    def _claim(self, entry: Any) -> bool:
        """Claim the interval: there is no claim, or the other's has expired by our own steady clock."""
        held_ms = max(1, round(entry.schedule.run_every.total_seconds() * 1000 * CLAIMED_PART))
        backend: Any = self.app.backend
        client, key, own = backend.client, KEY + entry.name, uuid4().hex.encode()
        if not client.set(key, own, nx=True, px=held_ms):
            found = client.get(key)
            held, since = self._seen.get(key, (b"", 0.0))
            if found is not None and found != held:
                self._seen[key] = found, monotonic()
                return False
            if found is None or (monotonic() - since) * 1000 < held_ms:
                return False
            if not client.eval(TAKE_OVER, 1, key, found, own, held_ms):
                return False
        self._seen[key] = own, monotonic()
        return True
