"""Files of scans and of providers' forecasts in the live store, and which of two frames of one time is kept."""

import hashlib
import logging
from collections import Counter
from collections.abc import Iterator, Sequence
from datetime import datetime
from pathlib import Path
from typing import Final, Protocol

from core.errors import NoDataError
from core.frame import RadarFrame
from core.shared_files import is_shared, is_stored, keeper_of, publish, write_shared
from core.times import iso, stamp
from ingest.store import scanfile
from ingest.store.index import Index, Scan
from ingest.store.locks import translate_os_errors
from ingest.store.scanfile import ScanHeader, safe_name

StoredHeader = tuple[Path, ScanHeader]
COVERAGE_MARGIN: Final = 0.02
"""Loss of coverage that a later issue may have, by its quality control, and still be the better one."""

log = logging.getLogger(__name__)


def keep_rejected(home: Path, content: bytes, name: str, reason: str, at: datetime) -> Path:
    """Copy a file that could not be read to the quarantine, with its reason; each content and name is kept once."""
    sha256 = hashlib.sha256(content).hexdigest()
    path = home / "quarantine" / f"{sha256[:12]}_{safe_name(name)}"
    if not path.exists():
        write_shared(path, content)
    text = f"{reason}\nname: {name}\nsha256: {sha256}\nbytes: {len(content)}\nat: {iso(at)}\n"
    write_shared(path.with_name(f"{path.name}.reason.txt"), text.encode())
    return path


class Shelf:
    """The files of one store; the caller holds the `write_lock` and inserts the rows of written files afterwards."""

    def __init__(self, home: Path, index: Index) -> None:
        self._home, self._index = home, index

    def write(self, frames: Sequence[tuple[RadarFrame, ScanHeader]]) -> tuple[Counter[str], list[StoredHeader]]:
        """Write the files of new or better frames; return the counts and the written scans for the catalogue."""
        counts: Counter[str] = Counter()
        rows: dict[tuple[str, datetime], StoredHeader] = {}
        for frame, header in frames:
            if frame.is_forecast:
                counts["forecasts" if self._write_forecast(frame, header) else "duplicates"] += 1
                continue
            key = frame.product, frame.valid_time
            path = self._home / "scans" / _place(frame, stamp(frame.valid_time))
            known = rows[key][1] if key in rows else self._index.scan_of(*key)
            known = known if is_stored(path) and not self._took_the_place(known, header) else None
            kind = _kind(header, known)
            counts[kind] += 1
            if kind == "stored":
                counts.update(replaced=known is not None, late=known is None and self._is_late(frame))
                self._write_scan(frame, header, path)
                rows[key] = path, header
        return +counts, list(rows.values())

    def read_headers(self) -> list[StoredHeader]:
        """Return the scans' files with their headers, one for each product and time; skip unreadable files."""
        files: dict[tuple[str, datetime], StoredHeader] = {}
        for path in sorted(self.scan_files()):
            try:
                header = scanfile.read_header(path)
                files[header.product, header.valid_time] = (path, header)
            except NoDataError as err:
                log.warning("not in the catalogue: %s", err)
        return list(files.values())

    def scan_files(self) -> Iterator[Path]:
        """Return the complete files of scans; a folder of such a name is none of them."""
        folder = self._home / "scans"
        if keeper := keeper_of(folder):
            return (path for path, _ in keeper.listed(folder) if path.suffix == ".nc" and not path.name.startswith("."))
        found = folder.rglob("*.nc")
        return (path for path in found if not path.name.startswith(".") and path.is_file())

    def _took_the_place(self, known: Scan | ScanHeader | None, header: ScanHeader) -> bool:
        """Return whether the stored scan is of another source, as its grid is not that of its product, and this is."""
        if known is None or known.grid_key == header.grid_key:
            return False
        return self._index.usual_grid(header.product, header.valid_time) == header.grid_key

    def _is_late(self, frame: RadarFrame) -> bool:
        newest = self._index.latest(frame.product)
        return newest is not None and newest.valid_time > frame.valid_time

    def _write_forecast(self, frame: RadarFrame, header: ScanHeader) -> bool:
        path = self._home / "others" / _place(frame, f"{stamp(frame.reference_time)}_{frame.lead_minutes:03d}")
        if is_shared(path) and _is_same(path, header):
            return False
        self._write_scan(frame, header, path)
        return True

    def _write_scan(self, frame: RadarFrame, header: ScanHeader, path: Path) -> None:
        with translate_os_errors(self._home):
            scanfile.write_scan(frame, path, header)
            publish(path)


class Ranked(Protocol):
    """The properties of a scan that the choice depends on."""

    @property
    def missing_radars(self) -> tuple[str, ...]: ...  # noqa: D102
    @property
    def grid_key(self) -> str: ...  # noqa: D102
    @property
    def coverage(self) -> float: ...  # noqa: D102
    @property
    def issued_at(self) -> datetime: ...  # noqa: D102


def is_worse(new: Ranked, old: Ranked) -> bool:
    """Return whether the stored scan is kept: on another grid, with more radars, clearly more coverage or issued later.

    So the final file replaces the provisional one, and a provisional one that arrives late does not replace the final.
    A file on another grid that bears the same product's name is of another source, and replaces nothing.
    """
    if new.grid_key != old.grid_key:
        return True
    more_missing = len(new.missing_radars) - len(old.missing_radars)
    if more_missing:
        return more_missing > 0
    if abs(new.coverage - old.coverage) > COVERAGE_MARGIN:
        return new.coverage < old.coverage
    return new.issued_at < old.issued_at


def _kind(header: ScanHeader, known: Scan | ScanHeader | None) -> str:
    """Compare a scan with the stored one of its time: stored, duplicates or worse."""
    if known is None:
        return "stored"
    if known.sha256 == header.sha256:
        return "duplicates"
    worse = is_worse(header, known)
    outcome = "is worse and not stored" if worse else "replaces it"
    log.warning("scan %s of %s: another content %s", header.product, iso(header.valid_time), outcome)
    return "worse" if worse else "stored"


def _place(frame: RadarFrame, name: str) -> Path:
    """Return the path PRODUCT/YYYY/MM/DD/PRODUCT_NAME.nc of a frame."""
    product = safe_name(frame.product)
    return Path(product, frame.valid_time.strftime("%Y/%m/%d"), f"{product}_{name}.nc")


def _is_same(path: Path, header: ScanHeader) -> bool:
    try:
        return scanfile.read_header(path).sha256 == header.sha256
    except NoDataError:
        return False
