"""Ingest of one radar file: read it, store new frames, quarantine it if it cannot be read."""

import hashlib
import json
import logging
import os
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Final

from core.errors import FrameError, InputError, TooLargeError
from core.frame import RadarFrame
from core.times import iso
from ingest.plausibility import field_notes
from ingest.readers import read_frames
from ingest.readers.base import ForeignError, ProductError
from ingest.store.attempts import attempt
from ingest.store.cleaning import Cleaning
from ingest.store.live import Store

MAX_FILE_BYTES: Final = 256 * 2**20
"""Far above the size of any radar file; a larger file is rejected unread."""

KEPT_OF_TOO_LARGE_BYTES: Final = 4096
AS_FILED: Final = Cleaning()

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Outcome:
    """Result of the ingest of one file.

    Attributes:
        stored: new observations, including replacements.
        replaced: those of them that replaced an observation of the same time.
        late: new ones of them that arrived after a newer one of their product.
        duplicates: frames that were stored already.
        worse: frames that were not stored because a better one exists (`ingest.store.shelf.is_worse`).
        forecasts: new frames with a lead time above 0, stored separately.
        known: the file, by content and name, was ingested before; nothing was counted.
        rejected: why the file was rejected; None if it was not.
        kind: category of a rejected file.
        newest: valid time of the newest observation in the file, if the file was read.
        notes: parts of the file that were left out, and implausible fields, with the reason.
        again_at: when the file is to be read again, since scans of it are ahead of the clock; None: no longer.
    """

    stored: int = 0
    replaced: int = 0
    late: int = 0
    duplicates: int = 0
    worse: int = 0
    forecasts: int = 0
    known: bool = False
    rejected: str | None = None
    kind: str | None = None
    newest: datetime | None = None
    notes: tuple[str, ...] = ()
    again_at: datetime | None = None


class FutureError(FrameError):
    """All scans of a file are in the future; `again_at` is when the first of them no longer is."""

    def __init__(self, message: str, again_at: datetime) -> None:
        super().__init__(message)
        self.again_at = again_at


KINDS: Final[tuple[tuple[type[InputError], str], ...]] = (
    (TooLargeError, "too_large"),
    (ProductError, "product"),
    (ForeignError, "foreign"),
    (FutureError, "future"),
    (InputError, "damaged"),
)
"""Category of a rejected file by its error; the first match counts."""


def ingest_file(
    source: str | Path | bytes, store: Store, *, name: str = "", final: bool = True, cleaning: Cleaning = AS_FILED
) -> Outcome:
    """Store the frames of one file; a repetition changes nothing.

    Args:
        source: a file of any supported format, or its bytes. The file is never moved, changed or deleted.
        store: the live store.
        name: label in logs and in the quarantine; by default the file's name.
        final: quarantine what cannot be read; False for a file that may still be growing.
        cleaning: applied to each field before it is stored.

    Raises:
        UnavailableError: the store cannot be used now; never because of a damaged or unreadable file.
    """
    source = Path(source) if isinstance(source, str) else source
    name = name or (source.name if isinstance(source, Path) else "upload")
    try:
        content, size, issued_at = _content(source)
    except OSError as err:
        outcome = Outcome(rejected=f"{name}: cannot be read: {err.strerror or err}", kind="unreadable")
        _log(name, 0, outcome, final=final)
        return outcome
    try:
        if size > MAX_FILE_BYTES:
            raise TooLargeError(f"{name}: expected at most {MAX_FILE_BYTES:,} bytes, got {size:,}")
        outcome = _ingest(content, store, name, issued_at, cleaning)
    except InputError as err:
        kind = next(kind for error, kind in KINDS if isinstance(err, error))
        again_at = err.again_at if isinstance(err, FutureError) else None
        outcome = Outcome(rejected=str(err), kind=kind, again_at=again_at)
        if final:
            store.quarantine(content, name, str(err), kind)
    _log(name, size, outcome, final=final)
    return outcome


def _ingest(content: bytes, store: Store, name: str, issued_at: datetime | None, cleaning: Cleaning) -> Outcome:
    sha256 = hashlib.sha256(content).hexdigest()
    known = store.recorded_frames(sha256, name)
    if known is not None:
        return Outcome(duplicates=sum(known), known=True)
    notes: list[str] = []
    with attempt(store.home, sha256, name, content):
        found = _frames(content, name, notes)
    in_time, again_at = _in_time(found, name, notes, store.ahead)
    frames = [cleaning(frame) for frame in in_time]
    notes += field_notes(frames)
    newest = max((frame.valid_time for frame in frames if not frame.is_forecast), default=None)
    counts = store.put_file(frames, None if again_at else sha256, name, issued_at=issued_at)
    return Outcome(
        stored=counts["stored"],
        replaced=counts["replaced"],
        late=counts["late"],
        duplicates=counts["duplicates"],
        worse=counts["worse"],
        forecasts=counts["forecasts"],
        newest=newest,
        notes=tuple(notes),
        again_at=again_at,
    )


def _frames(content: bytes, name: str, notes: list[str]) -> Sequence[RadarFrame]:
    """Return all frames of a file; any failure of a decoder becomes a `FrameError`."""
    try:
        return read_frames(content, name=name, notes=notes)
    except InputError:
        raise
    except Exception as err:
        log.exception("reader failed on %s", name)
        raise FrameError(f"{name}: the reader failed: {type(err).__name__}: {err}") from err


def _in_time(
    frames: Sequence[RadarFrame], name: str, notes: list[str], ahead: timedelta
) -> tuple[Sequence[RadarFrame], datetime | None]:
    """Return the frames that are not ahead of the clock, and when the others are to be read again; these are noted.

    Raises:
        FutureError: all are ahead of the clock.
    """
    latest_allowed = datetime.now(UTC) + ahead
    in_time = [frame for frame in frames if frame.reference_time <= latest_allowed]
    if len(in_time) == len(frames):
        return frames, None
    first = min(frame.reference_time for frame in frames if frame.reference_time > latest_allowed)
    reason = f"expected no scan after {iso(latest_allowed)}, got one of {iso(first)}"
    if not in_time:
        raise FutureError(f"{name}: {reason}", first - ahead)
    notes.append(f"{len(frames) - len(in_time)} of {len(frames)} scans are set aside until their time: {reason}")
    return in_time, first - ahead


def _content(source: Path | bytes) -> tuple[bytes, int, datetime | None]:
    """Return the bytes (only the first ones of a file over the limit), the size and the modification time."""
    if isinstance(source, bytes):
        return source, len(source), None
    with source.open("rb") as file:
        changed_at = datetime.fromtimestamp(os.fstat(file.fileno()).st_mtime, UTC)
        content = file.read(MAX_FILE_BYTES + 1)
        if len(content) <= MAX_FILE_BYTES:
            return content, len(content), changed_at
        return content[:KEPT_OF_TOO_LARGE_BYTES], source.stat().st_size, changed_at


def _log(name: str, size: int, outcome: Outcome, *, final: bool) -> None:
    entry = {
        "file": name,
        "bytes": size,
        **asdict(outcome),
        "newest": _text(outcome.newest),
        "again_at": _text(outcome.again_at),
    }
    if outcome.rejected is None:
        log.info("ingested %s", json.dumps(entry))
    elif final:
        log.warning("rejected %s", json.dumps(entry))
    else:
        log.info("not complete yet %s", json.dumps(entry))


def _text(time: datetime | None) -> str | None:
    return iso(time) if time else None
