"""The clock of the schedule: with any number of beat processes each task is sent once in its interval.

Celery's own scheduler in memory, with two changes. Before it sends a task it claims it in Redis for nine tenths of the
interval; a scheduler that finds a claim does not send. There is no leader and no lock that could be lost, so nothing
waits when a beat dies. And it measures time, that of claims too, by a steady clock: Redis ends a claim by the wall
clock, and one that is set back would otherwise stop the schedule for as long as it was set back.
"""

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from time import monotonic
from typing import Any, ClassVar, Final
from uuid import uuid4

from celery.beat import ScheduleEntry, Scheduler

CLAIMED_PART: Final = 0.9
KEY: Final = "nowcast-given-out:"
TAKE_OVER: Final = """
if redis.call('get', KEYS[1]) ~= ARGV[1] then return 0 end
redis.call('set', KEYS[1], ARGV[2], 'PX', ARGV[3])
return 1
"""
"""Script for Redis: replace a claim that is still the same by another one, atomically."""

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
        super().__init__(*args, **kwargs)

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
