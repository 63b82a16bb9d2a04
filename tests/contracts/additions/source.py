"""A source: the files of one folder, in the order of their names, looked at when asked."""

import threading
from collections.abc import Iterator
from pathlib import Path

from core.errors import ConfigError
from ingest.sources.base import SOURCES, Arrival, SourceContext
from ingest.store.intake import Outcome


class AddedSource:
    """Every file of a folder once."""

    def __init__(self, folder: Path, poll_s: float) -> None:
        self._folder, self._poll_s = folder, poll_s
        self._done: set[Path] = set()

    @property
    def name(self) -> str:
        """Return the folder's path."""
        return str(self._folder)

    def look(self) -> Iterator[Arrival]:
        """Yield the files that were not ingested yet."""
        for path in sorted(self._folder.iterdir()):
            if path not in self._done:
                yield Arrival(path, final=True)

    def settle(self, arrival: Arrival, outcome: Outcome | None) -> None:
        """Note a file that was ingested or refused."""
        if outcome is not None:
            self._done.add(arrival.path)

    def ticks(self, stop: threading.Event) -> Iterator[None]:
        """Yield at once and then every `poll_s` seconds until `stop` is set."""
        yield
        while not stop.wait(self._poll_s):
            yield


@SOURCES.register("NAME")
def open_added(context: SourceContext) -> AddedSource:
    """Open the folder of the context.

    Raises:
        ConfigError: no folder is named.
    """
    if context.folder is None:
        raise ConfigError("NAME: expected a folder")
    return AddedSource(context.folder, context.poll_s)
