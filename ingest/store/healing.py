"""Stored scans that are missing or damaged: they are set aside, and the files they were in are read again."""

import hashlib
import logging
from collections.abc import Callable, Sequence
from datetime import datetime, timedelta
from pathlib import Path
from typing import Final

from core.errors import NoDataError
from core.shared_files import withdraw
from ingest.file_names import EVERYTHING
from ingest.store.again import ask_again, wanted_again
from ingest.store.index import Index, Scan
from ingest.store.locks import translate_os_errors, write_lock
from ingest.store.scanfile import read_scan
from ingest.store.shelf import keep_rejected

AGAIN_AFTER: Final = timedelta(minutes=10)
"""Two cycles of a radar: a scan that is damaged again sooner is not read again, as a disk may spoil all it is given."""

DAY: Final = timedelta(days=1)
LOST: Final = "lost"
"""Category of a stored file that is missing or damaged."""

log = logging.getLogger(__name__)


class Healing:
    """Repairs one store scan by scan; any process may find a lost scan, the ingest worker reads its source again."""

    def __init__(self, home: Path, index: Index, clock: Callable[[], datetime]) -> None:
        self._home, self._index, self._clock = home, index, clock

    def quarantine(self, content: bytes, name: str, reason: str, kind: str) -> Path:
        """Keep a copy of a rejected file with the reason, and count it by its kind, once for each content and name.

        Raises:
            UnavailableError: the disk or the database failed.
        """
        with translate_os_errors(self._home):
            path = keep_rejected(self._home, content, name, reason, self._clock())
        sha256 = hashlib.sha256(content).hexdigest()
        self._index.reject({"sha256": sha256, "name": name, "kind": kind, "reason": reason, "at": self._clock()})
        return path

    def set_aside(self, scan: Scan, reason: str) -> bool:
        """Move a scan's damaged file to the quarantine, delete its row, and ask for its source file.

        It is asked for once within `AGAIN_AFTER`; all files of a day are, where the catalogue does not know it.

        Returns:
            False where nothing is to be done: the scan was deleted or replaced meanwhile, or can be read again.

        Raises:
            UnavailableError: the disk or the database failed; a repetition is safe.
        """
        with write_lock(self._home), translate_os_errors(self._home):
            if self._index.scan_of(scan.product, scan.valid_time) != scan or _is_readable(scan.path):
                return False
            last, now = self._index.last_rejected(scan.path.name), self._clock()
            is_again = last is None or now - last >= AGAIN_AFTER
            content = scan.path.read_bytes() if scan.path.exists() else b""
            names = (self._index.files_of(scan) or [EVERYTHING]) if is_again else []
            ask_again(self._home, names)
            self.quarantine(content, scan.path.name, reason, LOST)
            self._index.lose(scan, now - DAY)
            scan.path.unlink(missing_ok=True)
            withdraw([scan.path])
        log.error("set aside: %s; read again: %s", reason, ", ".join(names) or "nothing")
        return True

    def offer_again(self, offer: Callable[[Sequence[str]], object]) -> None:
        """Call `offer` with the names of the source files that are to be read again, each once.

        Raises:
            UnavailableError: the disk failed.
        """
        with translate_os_errors(self._home):
            wanted = wanted_again(self._home)
            if wanted:
                offer(list(wanted.values()))
            withdraw(list(wanted))  # after the source has noted it: a kill in between repeats it
            for path in wanted:
                path.unlink(missing_ok=True)


def _is_readable(path: Path) -> bool:
    try:
        read_scan(path)
    except NoDataError:
        return False
    return True
