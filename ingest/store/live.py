"""The live store: one file per scan in `home`, and an SQL catalogue that can be rebuilt from the files."""

import logging
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from datetime import datetime, timedelta
from pathlib import Path

from core.cells import CellEdges
from core.errors import ConflictError, NoDataError
from core.frame import RadarFrame
from core.settings import sqlite_url
from core.times import iso, stamp, utc_now
from ingest.store import ready, retention, scanfile, status
from ingest.store.database import lock_by_server, open_engine
from ingest.store.healing import Healing
from ingest.store.index import MAX_AHEAD, Index
from ingest.store.index import Scan as Scan
from ingest.store.locks import translate_os_errors, write_lock
from ingest.store.repair import add_from_copy, repair_when_lost
from ingest.store.retention import Keep
from ingest.store.scanfile import safe_name
from ingest.store.shelf import Shelf
from ingest.windows.choice import TOLERANCE_MINUTES, choose
from ingest.windows.window import Window, build_window

log = logging.getLogger(__name__)


class Store:
    """Scans, ready windows, providers' forecasts and quarantined files in one folder.

    A file is written before its row; both steps may be repeated. Several processes may use one store at a time: writers
    of scans hold a file lock. Opening rebuilds a catalogue that is corrupt, or empty although there are files.

    Args:
        home: the folder; created if it does not exist.
        database_url: of the catalogue; None: SQLite in the folder.
        clock: returns the current time.
        synced: commits survive a power failure, as the process that takes the sources' files needs it.
        ahead: a scan later than the clock by more than this is never returned, and so is never the newest.

    Raises:
        ConfigError: an invalid database URL, or a schema that this release cannot use.
        UnavailableError: the folder or the database cannot be used.
    """

    def __init__(
        self,
        home: str | Path,
        database_url: str | None = None,
        *,
        clock: Callable[[], datetime] = utc_now,
        synced: bool = False,
        ahead: timedelta = MAX_AHEAD,
    ) -> None:
        self.home = Path(home).resolve()
        self._clock, self.ahead = clock, ahead
        with translate_os_errors(self.home):
            self.home.mkdir(parents=True, exist_ok=True)
        engine = open_engine(database_url or sqlite_url(self.home), synced=synced)
        lock_by_server(self.home, engine)
        self._index = Index(self.home, engine, lambda: clock() + ahead)
        self._shelf = Shelf(self.home, self._index)
        self.engine = self._index.engine
        self.healing = Healing(self.home, self._index, clock)
        with write_lock(self.home):
            self._index.open(clock())
            if not len(self._index) and next(self._shelf.scan_files(), None) is not None:
                add_from_copy(engine, self.home, clock())
                log.warning("the catalogue is empty although scans are stored; rebuilt from %d files", self._rebuild())
        repair_when_lost(engine, self.home, clock)

    def put(
        self,
        frame: RadarFrame,
        *,
        content_sha256: str | None = None,
        received_at: datetime | None = None,
        issued_at: datetime | None = None,
    ) -> bool:
        """Store a frame; it replaces one of its product and time unless that is the same or better (`shelf.is_worse`).

        Args:
            frame: a scan, or a provider's forecast (lead time above 0), which is stored separately.
            content_sha256: identity of the content; None: computed from the frame.
            received_at: None: the current time.
            issued_at: modification time of its file; None: `received_at`.

        Returns:
            False for a duplicate (same product, time and content), and where a better frame is kept.

        Raises:
            UnavailableError: the disk or the database failed; a retry is safe.
        """
        sha256 = content_sha256 or scanfile.frame_sha256(frame)
        header = scanfile.header_of(frame, sha256, received_at or self._clock(), issued_at)
        with write_lock(self.home):
            counts, rows = self._shelf.write([(frame, header)])
            if rows or counts:
                self._index.enter(rows, counts=counts)
        return bool(counts["stored"] or counts["forecasts"])

    def put_file(
        self, frames: Sequence[RadarFrame], sha256: str | None, name: str, *, issued_at: datetime | None = None
    ) -> Counter[str]:
        """Store frames of a file and record the file, so that it is not read again; `sha256` None: it is to be.

        Returns counts of stored frames (of them replaced, late), forecasts, duplicates and worse.

        Raises:
            UnavailableError: the disk or the database failed; a retry is safe.
        """
        now = self._clock()
        headers = [scanfile.header_of(frame, scanfile.frame_sha256(frame), now, issued_at) for frame in frames]
        forecasts = sum(frame.is_forecast for frame in frames)
        counted = {"observations": len(frames) - forecasts, "forecasts": forecasts}
        file = {"sha256": sha256, "name": name, "ingested_at": now, **counted} if sha256 else None
        with write_lock(self.home):
            counts, rows = self._shelf.write(list(zip(frames, headers, strict=True)))
            self._index.enter(rows, file=file, counts={**counts, "files": 1})
        return counts

    def scans(
        self, *, product: str | None = None, start: datetime | None = None, end: datetime | None = None
    ) -> list[Scan]:
        """Return stored scans in ascending time, both ends included."""
        return self._index.scans(product=product, start=start, end=end)

    def latest(self, product: str | None = None) -> Scan | None:
        """Return the newest scan, or None; an hourly or daily sum (RW, SF, RQ) only where there is no other product."""
        return self._index.latest(product)

    def products(self) -> list[str]:
        """Return the products that have scans."""
        return self._index.products()

    def load(self, scan: Scan) -> RadarFrame:
        """Read the frame of a scan.

        Raises:
            NoDataError: its file is missing or damaged; it is set aside, and its source is read again.
            UnavailableError: it cannot be read now.
        """
        try:
            return scanfile.read_scan(scan.path, scan.received_at)
        except scanfile.LostScanError as err:
            self.healing.set_aside(scan, str(err))
            raise

    def window(
        self,
        reference_time: datetime | None = None,
        *,
        product: str | None = None,
        steps: int = 5,
        cadence_minutes: int = 30,
    ) -> Window:
        """Return the window of stored scans that ends at a time; reads only the fields it needs.

        Args:
            reference_time: None: the time of the newest scan.
            product: None: the product that fills the window best.
            steps: number of fields.
            cadence_minutes: their spacing.

        Raises:
            NoDataError: no scan is stored, or none near the reference time.
            ConflictError: the scans do not form a window; the message names the missing times.
        """
        newest = self.latest(product)
        if newest is None:
            raise NoDataError(f"no scan{f' of {product}' if product else ''} is stored yet")
        reference_time = reference_time or newest.valid_time
        _, chosen = self._chosen(reference_time, steps, cadence_minutes, product)
        if not chosen:
            raise NoDataError(
                f"no scan within {TOLERANCE_MINUTES} minutes of {iso(reference_time)}; the newest is {newest.product} "
                f"of {iso(newest.valid_time)}"
            )
        return build_window(
            list(self.loadable(chosen)),
            reference_time,
            steps=steps,
            cadence_minutes=cadence_minutes,
            tolerance_minutes=TOLERANCE_MINUTES,
        )

    def ready_window(self, model: str, reference_time: datetime) -> Path:
        """Return the path of the ready window of a model and time."""
        return self.home / "windows" / safe_name(model) / f"{stamp(reference_time)}.safetensors"

    def current_window(
        self, model: str, reference_time: datetime, *, steps: int = 5, cadence_minutes: int = 30
    ) -> ready.ReadyWindow | None:
        """Return the ready window if it was made from the scans that `window` would use now; else None."""
        nominal, chosen = self._chosen(reference_time, steps, cadence_minutes)
        try:
            found = self.read_window(model, reference_time)
        except NoDataError:
            return None
        return found if (found.nominal_times, found.sources) == (nominal, ready.sources_of(chosen)) else None

    def write_windows(
        self, model_name: str, pixel_m: float | CellEdges, cadence_minutes: int = 30, steps: int = 5
    ) -> Path | None:
        """Write the newest window on a model's grid and delete old ones; None without a usable window."""
        newest = self.latest()
        try:  # the scans are named before they are read: what is stored in between makes the window a past one
            named = self._chosen(newest.valid_time, steps, cadence_minutes)[1] if newest else []
            window = self.window(newest.valid_time if newest else None, steps=steps, cadence_minutes=cadence_minutes)
        except (NoDataError, ConflictError) as err:
            log.info("no ready window for %s: %s", model_name, err)
            return None
        if not window.model_usable:
            return None
        path = self.ready_window(model_name, window.reference_time)
        with translate_os_errors(self.home):
            ready.write_ready(window, pixel_m, path, named)
            ready.prune(path.parent)
        return path

    def read_window(self, model: str, reference_time: datetime) -> ready.ReadyWindow:
        """Read the ready window of a model and time.

        Raises:
            NoDataError: it was not written, or is deleted already.
        """
        return ready.read_ready(self.ready_window(model, reference_time))

    def quarantine(self, path_or_bytes: str | Path | bytes, name: str, reason: str, kind: str = "damaged") -> Path:
        """Keep a copy of a file that could not be read, with the reason; the same content and name is kept once.

        Args:
            path_or_bytes: the file.
            name: of the file.
            reason: why it was rejected.
            kind: category that is counted.

        Raises:
            UnavailableError: the disk or the database failed.
        """
        with translate_os_errors(self.home):
            content = path_or_bytes if isinstance(path_or_bytes, bytes) else Path(path_or_bytes).read_bytes()
        return self.healing.quarantine(content, name, reason, kind)

    def count(self, counts: Mapping[str, int]) -> None:
        """Add to the catalogue's counters."""
        self._index.enter([], counts=counts)

    def ingest_status(self) -> status.IngestStatus:
        """Return the state of ingest: counters, the newest scans with their flags, and the sources."""
        return status.current_status(self, self._index.counts, status.read_beat(self.home), self._clock())

    def sweep(self, keep: Keep) -> dict[str, int]:
        """Apply the retention rules of the ingest room; return the number of deleted files by kind.

        Raises:
            UnavailableError: the disk or the database failed.
        """
        newest = self.latest()
        with write_lock(self.home), translate_os_errors(self.home):
            return retention.sweep(
                self.home, keep, newest.valid_time if newest else None, self._clock(), self._index.forget
            )

    def recorded_frames(self, sha256: str, name: str) -> tuple[int, int] | None:
        """Return the numbers of observations and forecasts of an ingested file, by its content and name."""
        return self._index.recorded_frames(sha256, name)

    def has_file_named(self, name: str) -> bool:
        """Return whether a file of that name was ingested (for sources whose names are unique)."""
        return self._index.has_file_named(name)

    def rebuild(self) -> int:
        """Rebuild the catalogue from the files; return the number of scans. Unreadable files are skipped."""
        with write_lock(self.home):
            return self._rebuild()

    def _chosen(
        self, reference_time: datetime, steps: int, cadence_minutes: int, product: str | None = None
    ) -> tuple[tuple[datetime, ...], list[Scan]]:
        """Return the nominal times of a window and the scans that it uses."""
        near, cadence = timedelta(minutes=TOLERANCE_MINUTES), timedelta(minutes=cadence_minutes)
        nominal = tuple(reference_time - cadence * step for step in reversed(range(steps)))
        scans = self.scans(product=product, start=nominal[0] - near, end=nominal[-1] + near)
        return nominal, choose(scans, nominal, near)

    def loadable(self, scans: Sequence[Scan]) -> Iterator[RadarFrame]:
        """Return the frames whose files can be read; an unreadable one is a gap."""
        for scan in scans:
            try:
                yield self.load(scan)
            except NoDataError as err:
                log.warning("taken as missing: %s", err)

    def _rebuild(self) -> int:
        files = self._shelf.read_headers()
        self._index.enter(files, replace_all=True)
        return len(files)
