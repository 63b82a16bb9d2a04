"""A watched folder of radar files, local or on a network drive; files may arrive in any order."""

from __future__ import annotations

import logging
import math
import os
import stat
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Final

import watchfiles

from core.errors import ConfigError, UnavailableError
from ingest.file_names import EVERYTHING
from ingest.sources.base import SOURCES, Arrival, SourceContext

if TYPE_CHECKING:
    from ingest.store.intake import Outcome

UNFINISHED: Final = (".part", ".tmp", ".filepart", ".crdownload")
"""Name endings under which other programs write a file before they rename it."""

DAY_S: Final = 86_400.0
REPORT_S: Final = 0.2
"""Seconds between the start of the change reports and the first look after it."""

Signature = tuple[int, int, int]
"""Size and times of the last change of content and of attributes; a changed signature is a new file."""

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class _State:
    signature: Signature
    since_s: float
    offered: bool = False
    done: bool = False
    again_s: float = math.inf


class DirectorySource:
    """Yields every file of a folder once per content; an unreadable file until it is readable or stable.

    A file is yielded as soon as it is seen: if it can be read, it is complete. Otherwise it is yielded again when its
    size or time of change differs, and a last time (`final`) when it has not changed for `grace_s`. Files stay where
    they are. A file with scans ahead of the clock is yielded again once their time has come. After a restart the
    catalogue of the store knows what was ingested.

    Args:
        folder: the watched folder.
        recursive: whether subfolders are watched, too.
        poll_s: seconds between two looks without a change report, for drives that report no changes.
        grace_s: seconds for which an unreadable file must be unchanged.
        trust_age: count `grace_s` from the file's last change, not from its first sighting (for a single look).
        clock: the present in seconds since 1970, as the files' times.

    Raises:
        ConfigError: the folder does not exist.
    """

    def __init__(
        self,
        folder: Path,
        *,
        recursive: bool = True,
        poll_s: float = 5.0,
        grace_s: float = 30.0,
        trust_age: bool = False,
        clock: Callable[[], float] = time.time,
    ) -> None:
        if not folder.is_dir():
            raise ConfigError(
                f"source {folder}: expected a folder, got {'a file' if folder.exists() else 'nothing there'}"
            )
        self.folder, self._recursive = folder, recursive
        self._poll_s, self._grace_s, self._trust_age = poll_s, grace_s, trust_age
        self._clock = clock
        self._states: dict[Path, _State] = {}

    @property
    def name(self) -> str:
        """Return the watched folder's path."""
        return str(self.folder)

    def look(self) -> Iterator[Arrival]:
        """Yield the files that are new, changed, or unreadable and stable, the newest first."""
        seen = self._list()
        self._states = {path: state for path, state in self._states.items() if path in seen}
        for path, signature in sorted(seen.items(), key=lambda item: (item[1][1], item[0]), reverse=True):
            state = self._states.get(path)
            if state is None or state.signature != signature:
                since_s = signature[1] / 1e9 if self._trust_age else self._clock()
                state = self._states[path] = _State(signature, since_s)
            final = self._clock() - state.since_s >= self._grace_s
            has_come = self._clock() >= state.again_s
            if has_come or (not state.done and (final or not state.offered)):
                yield Arrival(path, final=final)

    def settle(self, arrival: Arrival, outcome: Outcome | None) -> None:
        """Mark a file that was read, or refused for good, as done until it changes or its set-aside scans have come."""
        state = self._states.get(arrival.path)
        if state is not None and outcome is not None:
            done = outcome.rejected is None or arrival.final
            again_s = outcome.again_at.timestamp() if outcome.again_at else math.inf
            self._states[arrival.path] = replace(state, offered=True, done=done, again_s=again_s)

    def offer_again(self, names: Sequence[str]) -> None:
        """Yield the files of these names at the next look, although they were done."""
        since_s = self._clock() - DAY_S if EVERYTHING in names else math.inf
        for path, state in list(self._states.items()):
            if path.name in names or state.signature[1] / 1e9 >= since_s:
                del self._states[path]

    def ticks(self, stop: threading.Event) -> Iterator[None]:
        """Yield at once, once more when change reports start, at every change in the folder, and every `poll_s`."""
        yield None
        looked_s = -math.inf  # files that arrived before the reports began are in none of them
        try:
            for changes in watchfiles.watch(
                self.folder,
                watch_filter=None,  # a filtered change would delay the next look
                stop_event=stop,
                rust_timeout=max(1, int(min(self._poll_s, REPORT_S) * 1000)),
                yield_on_timeout=True,
                recursive=self._recursive,
                ignore_permission_denied=True,
            ):
                if stop.is_set():
                    return
                if changes or time.monotonic() - looked_s >= self._poll_s:
                    looked_s = time.monotonic()
                    yield None
        except (OSError, RuntimeError) as err:  # the system has no change reports, or no watches left
            log.warning("no change reports for %s (%s); looking every %g s", self.folder, err, self._poll_s)
        while not stop.wait(self._poll_s):
            yield None

    def _list(self) -> dict[Path, Signature]:
        try:
            with os.scandir(self.folder):  # raises if the folder is gone; rglob would return no files
                pass
            paths = [*(self.folder.rglob("*") if self._recursive else self.folder.iterdir())]
        except OSError as err:
            raise UnavailableError(f"source {self.folder} cannot be read now: {err.strerror or err}") from err
        found = {}
        for path in paths:
            if _is_radar_name(path.name) and not self._in_hidden(path):
                with suppress(OSError):  # deleted in the meantime
                    status = path.stat()
                    if stat.S_ISREG(status.st_mode):
                        found[path] = (status.st_size, status.st_mtime_ns, status.st_ctime_ns)
        return found

    def _in_hidden(self, path: Path) -> bool:
        """Return whether a file is in a hidden folder, or in a Zarr store, whose chunks are no radar files."""
        *folders, name = path.relative_to(self.folder).parts
        return name.startswith(".") or any(part.startswith(".") or part.endswith(".zarr") for part in folders)


@SOURCES.register("directory")
@SOURCES.register("replay")  # a replay writes its files into a watched folder, as any other program does
def open_directory(context: SourceContext) -> DirectorySource:
    """Watch the folder of the context.

    Raises:
        ConfigError: no folder is named, or it does not exist.
    """
    if context.folder is None:
        raise ConfigError(
            "no source given; expected --source DIR, --dwd or --ord "
            "(or NOWCAST_SOURCE, or NOWCAST_SOURCE_KIND=dwd or ord)"
        )
    return DirectorySource(context.folder, poll_s=context.poll_s, grace_s=context.grace_s, trust_age=context.once)


def _is_radar_name(name: str) -> bool:
    return not name.startswith(".") and not name.lower().endswith(UNFINISHED)
