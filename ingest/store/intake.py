"""One radar file into the live store: read, store what is new, quarantine what cannot be read."""

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
from ingest.readers import read_frames
from ingest.readers.base import ForeignError, ProductError
from ingest.store.cleaning import Cleaning
from ingest.store.live import Store

MAX_FILE_BYTES: Final = 256 * 2**20
"""Far above any radar file; a larger one is refused unread."""

KEPT_OF_TOO_LARGE_BYTES: Final = 4096
AS_FILED: Final = Cleaning()
MAX_AHEAD: Final = timedelta(days=2)
"""A scan that claims to come from later than this would be the newest one for ever."""

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Outcome:
    """What became of one file.

    Attributes:
        stored: new observations, or ones that replaced another content.
        replaced: of these, the ones that replaced another content.
        late: of these, the new ones that came after a newer one of their product.
        duplicates: frames that were stored already.
        worse: other contents of stored observations that are not as good (`ingest.store.shelf.is_worse`).
        forecasts: new frames with a lead above 0, kept apart.
        known: the file itself, by content and name, had gone in before; nothing was counted.
        rejected: why nothing of the file was taken; None if it was.
        kind: what a rejected file is counted as.
        newest: valid time of the newest observation in the file, if it was read.
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


class FutureError(FrameError):
    """A scan of a time that has not been yet."""


KINDS: Final[tuple[tuple[type[InputError], str], ...]] = (
    (TooLargeError, "too_large"),
    (ProductError, "product"),
    (ForeignError, "foreign"),
    (FutureError, "future"),
    (InputError, "damaged"),
)
"""What a rejected file is counted as; the first that fits."""


def ingest_file(
    source: str | Path | bytes, store: Store, *, name: str = "", final: bool = True, cleaning: Cleaning = AS_FILED
) -> Outcome:
    """Put one file's frames into the store; doing it again changes nothing.

    Args:
        source: a file of any supported format, or its bytes. It is never moved, changed or deleted.
        store: the live store.
        name: what logs and the quarantine call it; by default the file's name.
        final: quarantine what cannot be read; False for a file that may still be growing.
        cleaning: what is changed in a field before it is stored.

    Raises:
        UnavailableError: the store cannot be used now; never for a bad or unreadable file.
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
            raise TooLargeError(f"{name}: {size:,} bytes; at most {MAX_FILE_BYTES:,} were due")
        outcome = _ingest(content, store, name, issued_at, cleaning)
    except InputError as err:
        kind = next(kind for error, kind in KINDS if isinstance(err, error))
        outcome = Outcome(rejected=str(err), kind=kind)
        if final:
            store.quarantine(content, name, str(err), kind)
    _log(name, size, outcome, final=final)
    return outcome


def _ingest(content: bytes, store: Store, name: str, issued_at: datetime | None, cleaning: Cleaning) -> Outcome:
    sha256 = hashlib.sha256(content).hexdigest()
    known = store.remembered(sha256, name)
    if known is not None:
        return Outcome(duplicates=sum(known), known=True)
    frames = [cleaning(frame) for frame in _frames(content, name)]
    newest = max((frame.valid_time for frame in frames if not frame.is_forecast), default=None)
    counts = store.put_file(frames, sha256, name, issued_at=issued_at)
    return Outcome(
        stored=counts["stored"],
        replaced=counts["replaced"],
        late=counts["late"],
        duplicates=counts["duplicates"],
        worse=counts["worse"],
        forecasts=counts["forecasts"],
        newest=newest,
    )


def _frames(content: bytes, name: str) -> Sequence[RadarFrame]:
    """All frames of a file, or `FrameError`, whatever a decoder does on hostile bytes."""
    try:
        frames = read_frames(content, name=name)
    except InputError:
        raise
    except Exception as err:
        log.exception("reader failed on %s", name)
        raise FrameError(f"{name}: the reader failed: {type(err).__name__}: {err}") from err
    latest_due = datetime.now(UTC) + MAX_AHEAD
    ahead = [frame for frame in frames if frame.reference_time > latest_due]
    if ahead:
        raise FutureError(
            f"{name}: a scan of {iso(ahead[0].reference_time)} came; none after {iso(latest_due)} was due"
        )
    return frames


def _content(source: Path | bytes) -> tuple[bytes, int, datetime | None]:
    """The bytes (only the first few of a file over the limit), the size and the time of the last change."""
    if isinstance(source, bytes):
        return source, len(source), None
    with source.open("rb") as file:
        changed_at = datetime.fromtimestamp(os.fstat(file.fileno()).st_mtime, UTC)
        content = file.read(MAX_FILE_BYTES + 1)
        if len(content) <= MAX_FILE_BYTES:
            return content, len(content), changed_at
        return content[:KEPT_OF_TOO_LARGE_BYTES], source.stat().st_size, changed_at


def _log(name: str, size: int, outcome: Outcome, *, final: bool) -> None:
    told = {"file": name, "bytes": size, **asdict(outcome), "newest": iso(outcome.newest) if outcome.newest else None}
    if outcome.rejected is None:
        log.info("ingested %s", json.dumps(told))
    elif final:
        log.warning("rejected %s", json.dumps(told))
    else:
        log.info("not whole yet %s", json.dumps(told))
