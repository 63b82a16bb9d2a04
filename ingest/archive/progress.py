"""The progress of a build: megabytes read, fields stored, time left; it follows the journals of the workers."""

import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Final

from core.progress import Progress
from ingest.archive.journal import bytes_done, is_finished
from ingest.archive.staging import Target
from ingest.archive.units import Unit

LOOK_S = 0.5
BYTES_PER_MB: Final = 1_000_000


@contextmanager
def shown(units: Sequence[Unit], target: Target) -> Iterator[None]:
    """Show a bar on standard error, or a line a minute where that is no terminal, while the workers write."""
    stop = threading.Event()
    follower = Follower(units, target)
    before, _ = follower.look()
    total = sum(unit.size_bytes for unit in units)
    with Progress(total, "read, in MB:", before=before, scale=BYTES_PER_MB) as progress:

        def follow() -> None:
            going = True
            while going:
                going = not stop.wait(LOOK_S)
                done_bytes, stored = follower.look()
                progress.step(f"{stored:,} fields stored", count=done_bytes - progress.done)

        thread = threading.Thread(target=follow, daemon=True)
        thread.start()
        try:
            yield
        finally:
            stop.set()
            thread.join()


class Follower:
    """Counts the entries of the journals; a journal is read again only if it has grown."""

    def __init__(self, units: Sequence[Unit], target: Target) -> None:
        self._units, self._target = units, target
        self._sizes = [self._size(unit) for unit in units]
        self._bytes = [self._done(unit) for unit in units]
        self._lines = [0] * len(units)

    def look(self) -> tuple[int, int]:
        """Return the bytes read altogether, and the number of pieces done since the start."""
        for index, unit in enumerate(self._units):
            size = self._size(unit)
            if size > self._sizes[index]:
                self._lines[index] += self._new_lines(unit, self._sizes[index], size)
                self._sizes[index], self._bytes[index] = size, self._done(unit)
        return sum(self._bytes), sum(self._lines)

    def _size(self, unit: Unit) -> int:
        path = self._target.journal(unit)
        return path.stat().st_size if path.exists() else 0

    def _done(self, unit: Unit) -> int:
        path = self._target.journal(unit)
        return unit.size_bytes if is_finished(path) else min(bytes_done(path), unit.size_bytes)

    def _new_lines(self, unit: Unit, start: int, end: int) -> int:
        with self._target.journal(unit).open("rb") as file:
            file.seek(start)
            return file.read(end - start).count(b"\n")
