"""The ingest worker's heartbeat, `ingest-status.json`: small, whole at any time, and remembered across restarts."""

import json
import os
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from datetime import datetime
from typing import Any

from core.files import write_bytes_atomically
from core.times import iso
from ingest.sources.base import Arrival
from ingest.store.intake import Outcome
from ingest.store.live import Store
from ingest.store.locks import translate_os_errors, write_lock
from ingest.store.status import STATUS_FILE, read_beat


@dataclass
class Totals:
    """What this worker did since its start; the catalogue counts since it was made."""

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


class SourceBeat:
    """When a source was last asked, when it last answered, and since when it has not."""

    def __init__(self, name: str, told: Mapping[str, Any]) -> None:
        self.name = name
        kept = told.get("sources", {}).get(name, {}) if isinstance(told.get("sources"), dict) else {}
        self._last_look_at: str | None = kept.get("last_look_at")
        self._last_success_at: str | None = kept.get("last_success_at")
        self._outage_since: str | None = kept.get("outage_since")
        self._error: str | None = kept.get("error")

    def answered(self, now: datetime) -> None:
        """All that was due came."""
        self._last_look_at = self._last_success_at = iso(now)
        self._outage_since = self._error = None

    def failed(self, now: datetime, error: str) -> None:
        """No answer; an outage begins with the first."""
        self._last_look_at, self._error = iso(now), error
        self._outage_since = self._outage_since or iso(now)

    def told(self) -> dict[str, str | None]:
        """As the file has it."""
        return {
            "last_look_at": self._last_look_at,
            "last_success_at": self._last_success_at,
            "outage_since": self._outage_since,
            "error": self._error,
        }


class Pause:
    """Since when and why nothing is taken in."""

    def __init__(self) -> None:
        self.since: str | None = None
        self.reason: str | None = None

    def begin(self, now: datetime, reason: str) -> bool:
        """Note it; True for the first time."""
        first = self.since is None
        self.since, self.reason = self.since or iso(now), reason
        return first

    def end(self) -> bool:
        """It goes on; True if it was paused."""
        was = self.since is not None
        self.since = self.reason = None
        return was


def write_beat(store: Store, now: datetime, totals: Totals, source: SourceBeat, pause: Pause) -> None:
    """Write the heartbeat; what other workers of the same store wrote of their sources stays.

    Raises:
        UnavailableError: the disk did not take it.
    """
    with write_lock(store.home), translate_os_errors(store.home):
        before = read_beat(store.home).get("sources")
        told = {
            "pid": os.getpid(),
            "updated_at": iso(now),
            **asdict(totals),
            "paused_since": pause.since,
            "paused": pause.reason,
            "sources": {**(before if isinstance(before, dict) else {}), source.name: source.told()},
        }
        write_bytes_atomically(store.home / STATUS_FILE, json.dumps(told, indent=1).encode())
