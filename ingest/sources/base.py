"""The interface of a source of radar files to the ingest worker, and the registry of all kinds of sources.

A new kind is one file `ingest/sources/NAME.py` with a function `@SOURCES.register("NAME")` and one line in
`ingest/sources/__init__.py`; `NOWCAST_SOURCE_KIND=NAME` or `--source-kind NAME` then uses it.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Final, Protocol, runtime_checkable

from core.errors import ConfigError
from core.registry import Registry
from core.settings import Settings

if TYPE_CHECKING:  # keeps the readers' libraries out of processes that only look up a kind of source
    from ingest.store.intake import Outcome


@dataclass(frozen=True)
class Arrival:
    """A file to ingest now.

    Attributes:
        path: of the file; only its source moves or deletes it.
        final: whether an unreadable file is to be quarantined; False while it may still be growing.
    """

    path: Path
    final: bool


class Source(Protocol):
    """A place that the ingest worker takes radar files from."""

    @property
    def name(self) -> str:
        """Return the name of this source in the status and the log, such as its folder or address."""

    def look(self) -> Iterator[Arrival]:
        """Yield the files to ingest now; the caller settles each before it takes the next.

        Raises:
            UnavailableError: the source does not answer now; a later look may succeed.
        """

    def settle(self, arrival: Arrival, outcome: Outcome | None) -> None:
        """Record the outcome of a file; None means "not now": a later look yields it again."""

    def ticks(self, stop: threading.Event) -> Iterator[None]:
        """Yield once at the start and then whenever a look is worthwhile; end when `stop` is set."""


@runtime_checkable
class RepeatingSource(Protocol):
    """A source that can yield a file once more whose stored scans were lost."""

    def offer_again(self, names: Sequence[str]) -> None:
        """Yield the files of these names at the next look, although they were done.

        `ingest.file_names.EVERYTHING` may be among them.
        """


@runtime_checkable
class WaitingSource(Protocol):
    """A source that may leave its server alone for a while."""

    @property
    def longest_wait_s(self) -> float:
        """Return the seconds within which the next look is worthwhile."""


@dataclass(frozen=True)
class SourceContext:
    """The settings and folders that a source is opened with.

    Attributes:
        settings: of the running system.
        folder: given on the command line or by `NOWCAST_SOURCE`; None if neither is set.
        inbox: a folder of the live store for files that the source fetches; the source creates it.
        known: whether a file of that name was ingested before, by this run or an earlier one.
        once: whether the process ends after one look.
        poll_s: seconds between two looks.
        grace_s: seconds for which an unreadable file must stay unchanged before it is final.
    """

    settings: Settings
    inbox: Path
    folder: Path | None = None
    known: Callable[[str], bool] = field(default=lambda _: False)
    once: bool = False
    poll_s: float = 5.0
    grace_s: float = 30.0

    @property
    def options(self) -> Mapping[str, str]:
        """Return `NOWCAST_SOURCE_OPTIONS`: what a kind of source needs beyond the settings that exist for all."""
        return self.settings.source_options


SourceOpener = Callable[[SourceContext], Source]
"""Opens one kind of source; raises ConfigError if the context lacks what it needs."""

SOURCES: Final[Registry[SourceOpener]] = Registry("source kind")
ATTRIBUTIONS: Final[Registry[str]] = Registry("attribution of a source kind")
"""Whose data a kind of source brings, and under which licence; a folder has files of anyone."""


def attribution_of(kind: str) -> str:
    """Return whose data a kind of source brings, with their licence; empty if that is not known."""
    return ATTRIBUTIONS.get(kind) if kind in ATTRIBUTIONS else ""


def check_source_kind(settings: Settings) -> None:
    """Refuse a kind of source that is not registered.

    Raises:
        ConfigError: no source has that name.
    """
    if settings.source_kind not in SOURCES:
        kinds = ", ".join(SOURCES.names())
        raise ConfigError(f"NOWCAST_SOURCE_KIND: expected one of {kinds} (got {settings.source_kind!r})")
