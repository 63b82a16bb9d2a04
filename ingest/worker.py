"""The ingest worker's loop: what a source brings goes into the store, and the windows of the models follow."""

import json
import logging
import os
import threading
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from typing import Final

from core.errors import UnavailableError
from core.files import write_bytes_atomically
from core.frame import iso
from ingest.pipeline import Outcome, ingest_file
from ingest.ready import ServedModel
from ingest.sources.base import Arrival, Source
from ingest.store import Store
from ingest.turns import storing

STATUS_FILE: Final = "ingest-status.json"
log = logging.getLogger(__name__)


@dataclass
class Totals:
    """What this worker did since its start, as `ingest-status.json` tells it."""

    last_file: str | None = None
    last_scan_time: str | None = None
    stored: int = 0
    duplicates: int = 0
    forecasts: int = 0
    rejected: int = 0
    error: str | None = None

    def add(self, arrival: Arrival, outcome: Outcome) -> None:
        """Count a file in; one that may still be growing is not yet rejected."""
        self.stored += outcome.stored
        self.duplicates += outcome.duplicates
        self.forecasts += outcome.forecasts
        self.rejected += outcome.rejected is not None and arrival.final
        if outcome.rejected is None:
            self.last_file = arrival.path.name
        if outcome.newest is not None:
            self.last_scan_time = max(self.last_scan_time or "", iso(outcome.newest))


class IngestWorker:
    """Takes files from a source until it is stopped; a failure of the source or the store is waited out.

    Args:
        source: where files come from.
        store: where they go.
        served: the models to keep windows ready for, asked after every batch.
        stop: set it to end after the file in hand.
        clock: the present time.
    """

    def __init__(
        self,
        source: Source,
        store: Store,
        served: Callable[[], Sequence[ServedModel]],
        stop: threading.Event,
        *,
        clock: Callable[[], datetime] = lambda: datetime.now(UTC),
    ) -> None:
        self._source, self._store, self._served, self._stop, self._clock = source, store, served, stop, clock
        self._windows_due = True
        self.totals = Totals()

    def run(self) -> None:
        """Look whenever the source says that it is worth while."""
        for _tick in self._source.ticks(self._stop):
            try:
                self.look()
                self.totals.error = None
            except UnavailableError as err:
                log.warning("waiting: %s", err)
                self.totals.error = str(err)
            self._tell()

    def run_once(self) -> None:
        """A single look.

        Raises:
            UnavailableError: the source or the store does not answer.
        """
        self.look()
        self._tell()

    def look(self) -> None:
        """Ingest what is due now, then write the windows if there are new scans."""
        try:
            for arrival in self._source.look():
                if self._stop.is_set():
                    return
                self._take(arrival)
        finally:
            if self._windows_due and not self._stop.is_set():
                for model in self._served():
                    self._store.write_windows(model.name, model.pixel_m, model.cadence_minutes, model.steps)
                self._windows_due = False

    def _take(self, arrival: Arrival) -> None:
        try:
            outcome = ingest_file(arrival.path, self._store, final=arrival.final)
        except UnavailableError:
            self._source.settle(arrival, None)
            raise
        self._source.settle(arrival, outcome)
        self.totals.add(arrival, outcome)
        self._windows_due |= outcome.stored > 0

    def _tell(self) -> None:
        """Write the heartbeat; a full disk is no reason to end."""
        told = {"pid": os.getpid(), "updated_at": iso(self._clock()), **asdict(self.totals)}
        try:
            with storing(self._store.home):
                write_bytes_atomically(self._store.home / STATUS_FILE, json.dumps(told, indent=1).encode())
        except UnavailableError as err:
            log.warning("no heartbeat: %s", err)
