"""State of ingest: counters, flags of the newest scans, and the last response of each source."""

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from itertools import pairwise
from pathlib import Path
from statistics import median
from typing import Any, Final, Protocol

from core.errors import UnavailableError
from core.records import RecordCodec
from core.shared_files import follow
from core.times import iso
from ingest.store.index import Scan
from ingest.store.quality import JUMP_WITHIN, implausible, is_frozen

STATUS_FILE: Final = "ingest-status.json"
SOURCE_TEXTS: Final = ("last_look_at", "last_success_at", "outage_since", "error")
TIMES: Final = ("updated_at", "paused_since", "last_look_at", "last_success_at", "outage_since")
LOOK_BACK: Final = timedelta(minutes=150)
"""Gaps are reported as long as a window may need the missing scan."""

FOLLOWED_EVERY_S: Final = 10.0
"""How often the status of an ingest worker on another machine is looked up."""

OVERDUE_AFTER: Final = timedelta(minutes=10)
"""Delay beyond the cadence from which a scan is overdue; DWD's scans arrive two to three minutes after their time."""


@dataclass(frozen=True)
class ProductStatus:
    """The newest scan of a product, and its flags.

    Attributes:
        cadence_minutes: usual spacing of the last scans; None for a single scan.
        gaps: times since `LOOK_BACK` without a scan.
        overdue_since: expected time of the next scan, if it is long overdue.
        all_dry: no rain in the whole observed area.
        frozen: the last three scans contain identical rain.
        implausible: why the field is implausible as a rain rate in mm/h (another unit), else None.
    """

    product: str
    newest: datetime
    received_at: datetime
    age_s: float
    coverage: float
    missing_radars: tuple[str, ...]
    cadence_minutes: float | None
    gaps: tuple[datetime, ...]
    overdue_since: datetime | None
    all_dry: bool
    frozen: bool
    implausible: str | None


@dataclass(frozen=True)
class IngestStatus:
    """State of ingest at one time.

    Attributes:
        at: the current time.
        counts: since the catalogue was created: files, stored (of them replaced, late), duplicates, worse, forecasts;
            rejected:KIND; deleted:KIND and freed:KIND (bytes).
        products: by name.
        worker: the latest content of `ingest-status.json`: `updated_at`, `paused_since`, `paused`, and
            `sources` by name with `last_look_at`, `last_success_at`, `outage_since`, `error`; empty before the first.
        catalogue_error: why there are no counts and products: the catalogue does not respond (a full disk).
    """

    at: datetime
    counts: Mapping[str, int]
    products: tuple[ProductStatus, ...]
    worker: Mapping[str, Any]
    catalogue_error: str | None = None

    @property
    def rejected(self) -> dict[str, int]:
        """Return the numbers of rejected files by category."""
        return {what[9:]: n for what, n in self.counts.items() if what.startswith("rejected:")}

    @property
    def warnings(self) -> tuple[str, ...]:
        """Return the problems that need attention, one sentence each; empty if there are none."""
        reason = self.worker.get("paused") or "no reason is known"
        found = [f"paused since {self.worker['paused_since']}: {reason}"] if self._paused else []
        if self.catalogue_error:
            found.append(self.catalogue_error)
        for name, source in self.worker.get("sources", {}).items():
            if source.get("outage_since"):
                found.append(f"source {name} has not responded since {source['outage_since']}: {source['error']}")
        for product in self.products:
            found += [f"{product.product} of {iso(product.newest)}: {text}" for text in _warnings(product)]
        return tuple(found)

    def to_dict(self) -> dict[str, Any]:
        """Return the status for JSON, with the values derived from its fields."""
        return {**STATUS.to_dict(self), "rejected": self.rejected, "warnings": list(self.warnings)}

    @property
    def _paused(self) -> bool:
        return bool(self.worker.get("paused_since"))


STATUS: Final = RecordCodec(IngestStatus)


def status_of(
    recent: Mapping[str, Sequence[Scan]], counts: Mapping[str, int], beat: Mapping[str, Any], now: datetime
) -> IngestStatus:
    """Return the status from the last scans of each product (ascending), the counters and the worker's heartbeat."""
    products = tuple(_product(scans, now) for _, scans in sorted(recent.items()) if scans)
    return IngestStatus(now, dict(counts), products, dict(beat))


class Lookup(Protocol):
    """What the status looks up in a catalogue."""

    def products(self) -> list[str]: ...  # noqa: D102
    def latest(self, product: str | None = None) -> Scan | None: ...  # noqa: D102
    def scans(self, *, product: str | None = None, start: datetime | None = None) -> list[Scan]: ...  # noqa: D102


def current_status(
    lookup: Lookup, counts: Callable[[], Mapping[str, int]], beat: Mapping[str, Any], now: datetime
) -> IngestStatus:
    """Return the status from the catalogue; without its part where the catalogue does not respond."""
    try:
        newest = [scan for product in lookup.products() if (scan := lookup.latest(product)) is not None]
        recent = {
            scan.product: lookup.scans(product=scan.product, start=scan.valid_time - LOOK_BACK) for scan in newest
        }
        return status_of(recent, counts(), beat, now)
    except UnavailableError as err:
        return IngestStatus(now, {}, (), dict(beat), catalogue_error=str(err))


def read_beat(home: Path) -> dict[str, Any]:
    """Read the worker's latest heartbeat without what is not of its shape; empty if it never ran, or is damaged."""
    try:
        follow(home / STATUS_FILE, FOLLOWED_EVERY_S)
        beat = json.loads((home / STATUS_FILE).read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError, UnavailableError):
        return {}
    if not isinstance(beat, dict):
        return {}
    plain = {name: value for name, value in beat.items() if name != "sources" and _fits(name, value)}
    if isinstance(sources := beat.get("sources"), dict):
        plain["sources"] = {name: _state(one) for name, one in sources.items() if isinstance(one, dict)}
    return plain


def _state(source: Mapping[str, Any]) -> dict[str, Any]:
    """Return the known texts of one source."""
    known = dict.fromkeys(SOURCE_TEXTS)
    return {**known, **{name: source[name] for name in SOURCE_TEXTS if name in source and _fits(name, source[name])}}


def _fits(name: str, value: object) -> bool:
    """Return whether a value is plain, and a time where its name says so."""
    if name not in TIMES or value is None:
        return value is None or isinstance(value, str | int | float)
    try:
        return isinstance(value, str) and datetime.fromisoformat(value).tzinfo is not None
    except ValueError:
        return False


def _product(scans: Sequence[Scan], now: datetime) -> ProductStatus:
    newest = scans[-1]
    before = scans[-2] if len(scans) > 1 and newest.valid_time - scans[-2].valid_time <= JUMP_WITHIN else None
    cadence = _cadence(scans)
    next_due = newest.valid_time + (cadence or timedelta())
    return ProductStatus(
        product=newest.product,
        newest=newest.valid_time,
        received_at=newest.received_at,
        age_s=(now - newest.valid_time).total_seconds(),
        coverage=newest.coverage,
        missing_radars=newest.missing_radars,
        cadence_minutes=cadence.total_seconds() / 60 if cadence else None,
        gaps=_gaps(scans, cadence) if cadence else (),
        overdue_since=next_due if cadence and now > next_due + OVERDUE_AFTER else None,
        all_dry=newest.coverage > 0 and newest.facts.max_mmh == 0,
        frozen=is_frozen([scan.facts for scan in reversed(scans)]),
        implausible=implausible(newest.facts, before.facts if before else None),
    )


def _cadence(scans: Sequence[Scan]) -> timedelta | None:
    """Return the usual spacing, without the effect of gaps and late scans."""
    if len(scans) < 2:
        return None
    steps = [b.valid_time - a.valid_time for a, b in pairwise(scans)]
    return timedelta(seconds=median(step.total_seconds() for step in steps))


def _gaps(scans: Sequence[Scan], cadence: timedelta) -> tuple[datetime, ...]:
    there = {scan.valid_time for scan in scans}
    steps = int((scans[-1].valid_time - scans[0].valid_time) / cadence)
    times = [scans[-1].valid_time - cadence * step for step in range(steps, 0, -1)]
    return tuple(time for time in times if not any(abs(time - other) < cadence / 2 for other in there))


def _warnings(product: ProductStatus) -> list[str]:
    found = []
    if product.overdue_since:
        found.append(f"no scan since; the next one was expected at {iso(product.overdue_since)}")
    if product.frozen:
        found.append("frozen: the last scans contain identical rain")
    if product.implausible:
        found.append(product.implausible)
    if product.coverage == 0:
        found.append("nothing is observed")
    if product.missing_radars:
        found.append(f"without the radars {', '.join(product.missing_radars)}")
    if product.gaps:
        found.append(f"no scan of {', '.join(map(iso, product.gaps))}")
    return found
