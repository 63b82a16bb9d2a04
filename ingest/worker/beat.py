"""The ingest worker's heartbeat file `ingest-status.json`, written atomically and read again at a restart."""

import json
import os
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from datetime import datetime
from typing import Any, Final

from core.shared_files import write_shared
from core.times import iso
from ingest.sources.base import Arrival
from ingest.store.intake import Outcome
from ingest.store.live import Store
from ingest.store.locks import translate_os_errors, write_lock
from ingest.store.status import STATUS_FILE, read_beat

PUBLISHED_EVERY_S: Final = 15.0
"""How often the file is put into a store of files."""


@dataclass
class Totals:
    """Counts of this worker since its start; the catalogue has those since it was created."""

    last_file: str | None = None
    last_scan_time: str | None = None
    stored: int = 0
    duplicates: int = 0
    forecasts: int = 0
    rejected: int = 0
    error: str | None = None

    def add(self, arrival: Arrival, outcome: Outcome) -> None:
        """Add the outcome of a file; a file that may still be growing does not count as rejected."""
        self.stored += outcome.stored
        self.duplicates += outcome.duplicates
        self.forecasts += outcome.forecasts
        self.rejected += outcome.rejected is not None and arrival.final
        if outcome.rejected is None:
            self.last_file = arrival.path.name
        if outcome.newest is not None:
            self.last_scan_time = max(self.last_scan_time or "", iso(outcome.newest))


class SourceBeat:
    """Times of a source: its last check, its last response, and the start of an outage."""

    def __init__(self, name: str, beat: Mapping[str, Any]) -> None:
        self.name = name
        kept = beat.get("sources", {}).get(name, {}) if isinstance(beat.get("sources"), dict) else {}
        self._last_look_at: str | None = kept.get("last_look_at")
        self._last_success_at: str | None = kept.get("last_success_at")
        self._outage_since: str | None = kept.get("outage_since")
        self._error: str | None = kept.get("error")

    def succeeded(self, now: datetime) -> None:
        """Record a successful check."""
        self._last_look_at = self._last_success_at = iso(now)
        self._outage_since = self._error = None

    def failed(self, now: datetime, error: str) -> None:
        """Record a failed check; the first one starts an outage."""
        self._last_look_at, self._error = iso(now), error
        self._outage_since = self._outage_since or iso(now)

    def to_dict(self) -> dict[str, str | None]:
        """Return the values for the heartbeat file."""
        return {
            "last_look_at": self._last_look_at,
            "last_success_at": self._last_success_at,
            "outage_since": self._outage_since,
            "error": self._error,
        }


class Pause:
    """Start and reason of a pause of ingest."""

    def __init__(self) -> None:
        self.since: str | None = None
        self.reason: str | None = None

    def begin(self, now: datetime, reason: str) -> bool:
        """Begin or continue a pause; return True if it began now."""
        first = self.since is None
        self.since, self.reason = self.since or iso(now), reason
        return first

    def end(self) -> bool:
        """End the pause; return True if there was one."""
        was = self.since is not None
        self.since = self.reason = None
        return was


def write_beat(store: Store, now: datetime, totals: Totals, source: SourceBeat, pause: Pause) -> None:
    """Write the heartbeat; entries of other workers' sources in the same store are kept.

    Raises:
        UnavailableError: the disk failed.
    """
    with write_lock(store.home), translate_os_errors(store.home):
        before = read_beat(store.home).get("sources")
        beat = {
            "pid": os.getpid(),
            "updated_at": iso(now),
            **asdict(totals),
            "paused_since": pause.since,
            "paused": pause.reason,
            "sources": {**(before if isinstance(before, dict) else {}), source.name: source.to_dict()},
        }
        write_shared(store.home / STATUS_FILE, json.dumps(beat, indent=1).encode(), every_s=PUBLISHED_EVERY_S)
