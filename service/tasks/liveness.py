"""Whether the parts of an installation do their work in time, by the progress that each of them records."""

import socket
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from datetime import UTC, datetime
from http import HTTPStatus
from pathlib import Path
from typing import Final, Literal, cast, get_args

from sqlalchemy import Engine, select

from core.errors import NowcastError
from core.settings import Settings
from ingest.store.database import open_engine, reading
from ingest.store.progress import CATALOGUE, LastWork, Part, last_progress
from ingest.store.tables import HeartbeatRow
from service.process.announce import fetched
from service.process.supervisor import ProcessSpec
from service.tasks.queue import verify_every_s
from service.tasks.watchdog import ALERTS_WORKER, late_after_s

PARTS: Final[tuple[Part, ...]] = get_args(Part)
WORK: Final[Mapping[Part, str]] = {
    "beat": "a task to be sent",
    "ingest": "a look at the source",
    "worker": "a look for new scans",
    "verification": "a verification",
}
"""What each part is expected to do again and again."""

Process = Literal["beat", "ingest", "worker", "alerts"]
"""A process that records its work in the catalogue."""

WORKERS: Final[Mapping[Process, str]] = {"worker": "celery@", "alerts": ALERTS_WORKER}
"""Names of Celery's workers before the host: each completes synthetic tasks of its own (`service.tasks.watchdog`)."""


def limit_s(part: Part, settings: Settings) -> float:
    """Return the longest time between two works of a part; a worker may make one forecast in between.

    None is late before it could have missed two tasks in a row of the schedule, whose intervals follow the settings.
    """
    if part == "verification":
        return max(2 * late_after_s(settings), 2 * verify_every_s(settings) + settings.task_limit_s)
    if part == "worker":
        of_cycles_s = 2 * settings.cycle_s + settings.task_limit_s
        return max(settings.part_late_s, late_after_s(settings), of_cycles_s)
    return max(settings.part_late_s, 2 * min(settings.cycle_s, settings.heartbeat_s) if part == "beat" else 0.0)


def lateness(part: Part, settings: Settings, progress: Mapping[str, LastWork], since: datetime, now: datetime) -> str:
    """Return "ok", or since when a part has not done its work.

    Args:
        part: of the installation.
        settings: with the limits.
        progress: last work of each part. One that recorded none since the catalogue was entered again has its time from
            then on: its record is lost.
        since: a part that has never worked is expected to begin after this time.
        now: the current time.
    """
    last, limit, rebuilt = progress.get(part), limit_s(part, settings), progress.get(CATALOGUE)
    begun = last.latest if last else since
    if (now - (max(begun, rebuilt.at) if rebuilt else begun)).total_seconds() <= limit:
        return "ok"
    expected = f"expected {WORK[part]} within {limit:.0f} s"
    if last is None:
        return f"{expected}, there was none yet"
    return f"{expected}, the last one was {(now - last.at).total_seconds():.0f} s ago"


def silence_s(process: Process, settings: Settings) -> float:
    """Return the longest time between two works of a process."""
    if process in WORKERS:
        return late_after_s(settings)
    return limit_s("beat" if process == "beat" else "ingest", settings)


def last_work(engine: Engine, process: Process, host: str | None = None) -> LastWork | None:
    """Return the last work of a process of a host, this one by default; None where it has never worked.

    Raises:
        UnavailableError: the catalogue does not respond.
    """
    host = host or socket.gethostname()
    if process not in WORKERS:
        return last_progress(engine, host).get(process)
    query = select(HeartbeatRow.completed_at).where(HeartbeatRow.giver == f"{WORKERS[process]}{host}")
    with reading(engine) as connection:
        at = connection.scalar(query)
    return LastWork(at, at) if at else None


class Signs:
    """Signs of work of the processes of one tree, by which its supervisor finds those that are frozen.

    Args:
        settings: of the tree.
        queue_answers: whether the queue server takes commands; without it nothing is expected of those that use it.
    """

    def __init__(self, settings: Settings, queue_answers: Callable[[], bool]) -> None:
        self._engine = open_engine(settings.catalogue_url)
        self._queue_answers = queue_answers

    def of(self, process: Process) -> Callable[[], object]:
        """Return the sign of a process: when it worked last; None where it cannot be known, or where it may wait."""
        return lambda: self._look(process)

    def _look(self, process: Process) -> object:
        url = self._engine.url
        is_there = self._engine.dialect.name != "sqlite" or Path(url.database or "").is_file()
        if not is_there or (process != "ingest" and not self._queue_answers()):
            return None
        try:
            last = last_work(self._engine, process)
        except NowcastError:
            return None
        if last is None:
            return "none yet"
        return None if last.quiet_until > datetime.now(UTC) else last.at


def sign_of_answers(answers: Callable[[], bool]) -> Callable[[], object]:
    """Return the sign of a server: the number of times that it has answered."""
    count = 0

    def look() -> object:
        nonlocal count
        count += answers()
        return count

    return look


def watched(
    specs: Sequence[ProcessSpec], settings: Settings, address: str, queue_answers: Callable[[], bool]
) -> list[ProcessSpec]:
    """Return the processes with the signs by which a frozen one is found; the player of a replay has none.

    Args:
        specs: of the tree.
        settings: with the limits.
        address: of the API.
        queue_answers: whether the queue server takes commands.
    """
    signs = Signs(settings, queue_answers)
    api = sign_of_answers(lambda: fetched(f"{address}/livez")[0] == HTTPStatus.OK)

    def with_sign(spec: ProcessSpec) -> ProcessSpec:
        if spec.name == "api":
            return replace(spec, sign=api, silent_s=settings.part_late_s)
        if spec.name not in get_args(Process):
            return spec
        process = cast("Process", spec.name)
        return replace(spec, sign=signs.of(process), silent_s=silence_s(process, settings))

    return [with_sign(spec) for spec in specs]
