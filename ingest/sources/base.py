"""What a source of radar files is to the ingest worker: it says which files are due and is told what became of them."""

import threading
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from ingest.store.intake import Outcome


@dataclass(frozen=True)
class Arrival:
    """A file that is due now.

    Attributes:
        path: where it lies; nobody but its source may move or delete it.
        final: whether what cannot be read is to be quarantined; False while it may still be growing.
    """

    path: Path
    final: bool


class Source(Protocol):
    """A place that radar files come from."""

    def look(self) -> Iterator[Arrival]:
        """The files that are due now, each to be settled before the next one is asked for.

        Raises:
            UnavailableError: the place does not answer now; look again later.
        """

    def settle(self, arrival: Arrival, outcome: Outcome | None) -> None:
        """Take note of what became of a file; None is "not now": it comes again with a later look."""

    def ticks(self, stop: threading.Event) -> Iterator[None]:
        """One tick for each time that a look is worth while, at once for the first; ends when `stop` is set."""
