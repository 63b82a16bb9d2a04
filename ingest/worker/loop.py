"""The ingest worker's loop: store the files of a source, then write the models' ready windows."""

import logging
import threading
from collections.abc import Callable, Iterator, Sequence
from datetime import datetime, timedelta
from typing import Final

from core.errors import UnavailableError
from core.times import utc_now
from ingest.sources.base import Arrival, RepeatingSource, Source, WaitingSource
from ingest.store.cleaning import Cleaning
from ingest.store.intake import AS_FILED, ingest_file
from ingest.store.live import Store
from ingest.store.locks import DiskFullError, free_bytes
from ingest.store.ready import ServedModel
from ingest.store.retention import Keep
from ingest.store.status import read_beat
from ingest.worker.beat import Pause, SourceBeat, Totals, write_beat

SWEEP_EVERY: Final = timedelta(minutes=10)
log = logging.getLogger(__name__)


class OutageError(UnavailableError):
    """The source did not respond."""


class IngestWorker:
    """Loop that ingests files of a source until it is stopped, and retries after failures of the source or the store.

    With too little free disk space it pauses, reports it, and continues when there is space again.

    Args:
        source: delivers the files.
        store: receives the frames.
        served: returns the models that need ready windows; called after every batch.
        stop: set it to end the loop after the current file.
        clock: returns the current time.
        name: name of the source in the status.
        keep: retention limits.
        min_free_bytes: with less free disk space ingest pauses.
        cleaning: applied to each field before it is stored.
        free: returns the free disk space in bytes.
        record: called after each look and each file, with the seconds for which the source is left alone.
    """

    def __init__(
        self,
        source: Source,
        store: Store,
        served: Callable[[], Sequence[ServedModel]],
        stop: threading.Event,
        *,
        clock: Callable[[], datetime] = utc_now,
        name: str = "source",
        keep: Keep | None = None,
        min_free_bytes: int = 0,
        cleaning: Cleaning = AS_FILED,
        free: Callable[[], int] | None = None,
        record: Callable[[float], object] = lambda _: None,
    ) -> None:
        self._source, self._store, self._served, self._stop, self._clock = source, store, served, stop, clock
        self._keep, self._min_free_bytes, self._cleaning = keep or Keep(), min_free_bytes, cleaning
        self._free = free or (lambda: free_bytes(store.home))
        self._record = record
        self._windows_outdated = True
        self._is_first_look = True
        self._swept_at: datetime | None = None
        self.totals = Totals()
        self._beat = SourceBeat(name, read_beat(store.home))
        self._pause = Pause()

    def run(self) -> None:
        """Check the source at each of its ticks until `stop` is set."""
        for _tick in self._source.ticks(self._stop):
            try:
                self.look()
                self.totals.error = None
            except UnavailableError as err:
                log.warning("waiting: %s", err)
                self.totals.error = str(err)
            self._write_beat()
            self._record(self._source.longest_wait_s if isinstance(self._source, WaitingSource) else 0.0)

    def run_once(self) -> None:
        """Check the source once.

        Raises:
            UnavailableError: the source or the store does not respond.
        """
        try:
            self.look()
        except UnavailableError as err:
            self.totals.error = str(err)
            raise
        finally:
            self._write_beat()

    def look(self) -> None:
        """Ingest the files that are available now, then write the windows if there are new scans.

        Raises:
            UnavailableError: the source or the store does not respond, or the disk is full.
        """
        try:
            self._sweep()
            self._check_space()
            if isinstance(self._source, RepeatingSource):
                self._store.healing.offer_again(self._source.offer_again)
            self._ingest()
        except DiskFullError as err:
            if self._pause.begin(self._clock(), str(err)):
                log.error("paused: %s", err)
            raise
        except OutageError as err:
            self._beat.failed(self._clock(), str(err))
            raise

    def _ingest(self) -> None:
        try:
            for arrival in self._arrivals():
                if self._stop.is_set():
                    return
                self._check_space()
                self._take(arrival)
            self._beat.succeeded(self._clock())
            self._is_first_look = False
        finally:
            if self._windows_outdated and not self._stop.is_set():
                for model in self._served():
                    self._store.write_windows(model.name, model.pixel_m, model.cadence_minutes, model.steps)
                self._windows_outdated = False
        if self._pause.end():
            log.warning("there is free disk space again: ingest continues")

    def _arrivals(self) -> Iterator[Arrival]:
        """Return the files of the source; only its own failures become an outage, not those of the store in between."""
        try:
            yield from self._source.look()
        except UnavailableError as err:
            raise OutageError(str(err)) from err

    def _take(self, arrival: Arrival) -> None:
        try:
            outcome = ingest_file(arrival.path, self._store, final=arrival.final, cleaning=self._cleaning)
            if outcome.known and not self._is_first_look:  # at a start every file of a folder is looked at again
                self._store.count({"duplicates": outcome.duplicates})
        except UnavailableError:
            self._source.settle(arrival, None)
            raise
        self._source.settle(arrival, outcome)
        self.totals.add(arrival, outcome)
        self._record(0.0)
        self._windows_outdated |= outcome.stored > 0

    def _check_space(self) -> None:
        free = self._free()
        if free < self._min_free_bytes:
            raise DiskFullError(
                f"disk of {self._store.home}: expected at least {self._min_free_bytes:,} free bytes "
                f"(NOWCAST_MIN_FREE_BYTES), got {free:,}; ingest pauses"
            )

    def _sweep(self) -> None:
        now = self._clock()
        if self._swept_at is None or now - self._swept_at >= SWEEP_EVERY or self._pause.since:
            self._store.sweep(self._keep)
            self._swept_at = now

    def _write_beat(self) -> None:
        """Write the heartbeat; a full disk does not end the worker."""
        try:
            write_beat(self._store, self._clock(), self.totals, self._beat, self._pause)
        except UnavailableError as err:
            log.warning("no heartbeat: %s", err)
