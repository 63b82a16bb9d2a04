"""Progress of the parts of an installation: each records its own work in the catalogue, where all others see it.

A part that is killed, frozen or hangs records nothing, whatever its other threads do. A catalogue that is entered again
begins without any record, and says since when.
"""

import logging
import socket
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from time import monotonic
from typing import Final, Literal

from sqlalchemy import Engine, delete, select

from core.errors import NowcastError
from core.settings import Settings
from core.times import utc_now
from ingest.store.database import reading, upsert, writing
from ingest.store.tables import HeartbeatRow

Part = Literal["beat", "ingest", "worker", "verification"]
"""Work that is recorded: sent tasks, looks at the source, looks for new scans, and verifications."""

MARK: Final = "progress:"
CATALOGUE: Final = "catalogue"
"""In place of a part: when the catalogue was entered again. What was recorded before is lost with the old one."""

LONGEST_PAUSE_S: Final = 15.0
"""Longest time between two records of a part that works, so that the catalogue is not written all the time."""

RECORDS_UNTIL_LATE: Final = 6
FORGOTTEN_AFTER: Final = timedelta(days=1)
"""A name of a part that recorded nothing for that time is one of an earlier host or container."""

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class LastWork:
    """The last work of a part.

    Attributes:
        at: when it was done.
        quiet_until: no further work is expected before; a source that fails is left alone for a while.
    """

    at: datetime
    quiet_until: datetime

    @property
    def latest(self) -> datetime:
        """Return the time from which the next work is expected."""
        return max(self.at, self.quiet_until)


class ProgressRecorder:
    """Records the work of one part of this process; a catalogue that does not respond never stops the work.

    Args:
        engine: of the catalogue.
        part: whose work it is.
        settings: how often it is recorded at most.
        clock: returns the current time.
        steady: steady time in seconds.
    """

    def __init__(
        self,
        engine: Engine,
        part: Part,
        settings: Settings,
        clock: Callable[[], datetime] = utc_now,
        steady: Callable[[], float] = monotonic,
    ) -> None:
        self._engine, self._part, self._clock, self._steady = engine, part, clock, steady
        self._pause_s = min(LONGEST_PAUSE_S, settings.part_late_s / RECORDS_UNTIL_LATE)
        self._next_s = steady()
        self._is_quiet = False

    def record(self, quiet_s: float = 0.0) -> None:
        """Record that work was done now, unless that was recorded a moment ago.

        Args:
            quiet_s: for which no further work is expected.
        """
        quiet_s = quiet_s if quiet_s > self._pause_s else 0.0
        if self._steady() < self._next_s and not self._is_quiet and not quiet_s:
            return
        now = self._clock()
        mine = f"{MARK}{self._part}:"
        row = {"giver": f"{mine}{socket.gethostname()}", "completed_at": now}
        row["given_at"] = now + timedelta(seconds=quiet_s)
        old = HeartbeatRow.giver.startswith(mine) & (HeartbeatRow.completed_at < now - FORGOTTEN_AFTER)
        try:
            with writing(self._engine) as connection:
                connection.execute(upsert(HeartbeatRow, [row], connection.dialect.name))
                connection.execute(delete(HeartbeatRow).where(old))
        except NowcastError as err:
            log.warning("the progress of %s is not recorded: %s", self._part, err)
        self._next_s, self._is_quiet = self._steady() + self._pause_s, bool(quiet_s)


def note_rebuilt(engine: Engine, now: datetime) -> None:
    """Record that a catalogue begins anew, so that no part is missed before it can have recorded its work again.

    Raises:
        UnavailableError: the catalogue does not respond.
    """
    row = {"giver": f"{MARK}{CATALOGUE}:", "given_at": now, "completed_at": now}
    with writing(engine) as connection:
        connection.execute(upsert(HeartbeatRow, [row], connection.dialect.name))


def last_progress(engine: Engine, host: str | None = None) -> Mapping[str, LastWork]:
    """Return the last work of each part that has ever done any; of all hosts, or of one.

    Of all hosts, `CATALOGUE` is among them where the catalogue was ever entered again.

    Raises:
        UnavailableError: the catalogue does not respond.
    """
    query = select(HeartbeatRow.giver, HeartbeatRow.completed_at, HeartbeatRow.given_at)
    query = query.where(HeartbeatRow.giver.startswith(MARK)).order_by(HeartbeatRow.completed_at)
    found: dict[str, LastWork] = {}
    with reading(engine) as connection:
        for giver, at, quiet_until in connection.execute(query):
            part, _, name = giver.removeprefix(MARK).partition(":")
            if host in (None, name):
                found[part] = LastWork(at, quiet_until)
    return found
