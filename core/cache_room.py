"""The room that the files of a store of files take in the folder of one machine, and what is deleted there first."""

import logging
import time
from collections.abc import Collection, Iterator, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Final

IN_USE_S: Final = 600.0
"""A file that was used in that time stays in the folder."""

TRIMMED_TO: Final = 0.9
OWN_PARTS: Final = (["nc"], ["observations", "nc"], ["members", "nc"])
log = logging.getLogger(__name__)


def is_export(path: Path) -> bool:
    """Return whether a file of the forecasts can be written again from a forecast's own file at any time."""
    parts = path.name.split(".")
    own = parts[0].startswith("inputs-") or parts[1:] in OWN_PARTS
    return not own and not path.name.startswith(".")


class CacheRoom:
    """The files below some folders of a live store, in the order of their last use.

    Args:
        home: the live store.
        tops: its folders.
        most_bytes: limit of their files.
    """

    def __init__(self, home: Path, tops: Sequence[str], most_bytes: int) -> None:
        self._home, self._tops, self._most_bytes = home, tops, most_bytes
        self._files = sorted(self._found())
        self._total_bytes = sum(size for _, size, _ in self._files)

    def is_exceeded(self) -> bool:
        """Return whether the files are more than the limit."""
        return self._total_bytes > self._most_bytes

    def trim(self, stored: Collection[str]) -> int:
        """Delete what was not used for longest, until the limit is met; return the number of bytes.

        Args:
            stored: names of the files that are in the store: no other file is deleted but what can be made again.
        """
        unused_since, freed_bytes = time.time() - IN_USE_S, 0
        for used_at, size, path in self._files:
            left_bytes = self._total_bytes - freed_bytes
            if left_bytes <= TRIMMED_TO * self._most_bytes or used_at > unused_since:
                break
            name = path.relative_to(self._home).as_posix()
            if name not in stored and not (name.startswith("forecasts/") and is_export(path)):
                continue
            with suppress(OSError):
                path.unlink(missing_ok=True)
                freed_bytes += size
        log.info("%d bytes that were not used for longest are deleted from the cache", freed_bytes)
        return freed_bytes

    def _found(self) -> Iterator[tuple[float, int, Path]]:
        for top in self._tops:
            for path in (self._home / top).rglob("*"):
                with suppress(OSError):
                    status = path.stat()
                    if path.is_file() and not path.name.startswith("."):
                        yield max(status.st_mtime, status.st_atime), status.st_size, path
