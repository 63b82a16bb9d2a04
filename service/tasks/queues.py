"""The names of the task queues; a worker serves them in alphabetical order, so no score keeps a forecast waiting."""

from typing import Final

BEAT: Final = "beat"
"""Synthetic tasks; those for one worker alone are in `beat.WORKER`."""

FORECASTS: Final = "celery"
"""Celery's own default, so that a task sent by name from any client comes here."""

VERIFICATION: Final = "verification"
QUEUES: Final = (BEAT, FORECASTS, VERIFICATION)

UNACKNOWLEDGED: Final = "unacked_index"
"""Where kombu's Redis transport keeps what workers have taken."""


def own_queue(worker_name: str) -> str:
    """The queue of synthetic tasks that one worker alone serves."""
    return f"{BEAT}.{worker_name}"
