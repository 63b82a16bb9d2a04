"""The schedule's clock: however many beats run, each task is given out once in its interval, and never doubly.

Celery's own scheduler in memory, with two changes. Before it gives a task out it claims it in Redis for nine tenths of
the interval; whoever comes second in that time leaves it. There is no leader and no lock to be lost, so nothing waits
when a beat dies. And it counts time by a clock that nobody can step, that of claims too: Redis ends a claim by the wall
clock, which, stepped back, would keep the schedule waiting for as long as it was stepped by.
"""

from datetime import UTC, datetime, timedelta
from time import monotonic
from typing import Any, Final
from uuid import uuid4

from celery.beat import ScheduleEntry, Scheduler

CLAIMED_PART: Final = 0.9
KEY: Final = "nowcast-given-out:"
TAKE_OVER: Final = """
if redis.call('get', KEYS[1]) ~= ARGV[1] then return 0 end
redis.call('set', KEYS[1], ARGV[2], 'PX', ARGV[3])
return 1
"""
"""Put another claim in the place of one that is still the same, all at once."""

_STARTED_AT: Final = datetime.now(UTC) - timedelta(seconds=monotonic())


def steady_now() -> datetime:
    """The time of day at this process's start and what has passed since; a step of the wall clock does not show."""
    return _STARTED_AT + timedelta(seconds=monotonic())


class SteadyEntry(ScheduleEntry):
    """An entry that is due by `steady_now`."""

    def __init__(self, *, last_run_at: datetime | None = None, **kwargs: Any) -> None:
        super().__init__(last_run_at=last_run_at, **kwargs)
        kept: Any = self.schedule
        kept.nowfun = steady_now
        self.last_run_at = last_run_at or steady_now()


class OnceScheduler(Scheduler):
    """Gives each entry out once in its interval, over all schedulers on one Redis."""

    Entry = SteadyEntry

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        self._seen: dict[str, tuple[bytes, float]] = {}
        super().__init__(*args, **kwargs)

    def apply_async(self, entry: Any, producer: Any = None, advance: bool = True, **kwargs: Any) -> Any:
        """Give the task out, unless another scheduler just did; None then."""
        if not self._claim(entry):
            return None
        return super().apply_async(entry, producer=producer, advance=advance, **kwargs)

    def _claim(self, entry: Any) -> bool:
        """Claim the interval: nobody has, or whoever did is over its time by our own steady clock."""
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
