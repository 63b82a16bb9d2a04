"""The progress of a unit of work: one JSON line per piece, appended after its fields are stored."""

import json
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO, Any, Final, Self

from core.records import RecordCodec

FINISHED: Final[dict[str, Any]] = {"finished": True}


@dataclass(frozen=True)
class StoredField:
    """One stored field of the archive.

    Attributes:
        seconds: valid time since 1970.
        observed: number of observed cells.
        wet_fraction: share of the observed cells with 0.1 mm/h or more; None if no cell is observed.
        mean_mmh, max_mmh: over the observed cells; None if there are none.
        missing_radars: sites that the file lists as absent.
    """

    seconds: int
    observed: int
    wet_fraction: float | None
    mean_mmh: float | None
    max_mmh: float | None
    missing_radars: tuple[str, ...] = ()


@dataclass(frozen=True)
class JournalEntry:
    """One piece that is done: its fields in the unit's order and notes on them, or the reason why it was left out."""

    name: str
    at_bytes: int
    fields: tuple[StoredField, ...] = field(default=())
    rejected: str | None = None
    notes: tuple[str, ...] = ()


JOURNAL_ENTRY: Final = RecordCodec(JournalEntry)


class Journal:
    """Appends entries to a unit's file; a line cut short by a kill is dropped when the file is opened again."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._file: IO[str] | None = None

    def __enter__(self) -> Self:
        whole = whole_bytes(self._path)
        self._path.parent.mkdir(parents=True, exist_ok=True)
        self._file = self._path.open("a", encoding="utf-8")
        self._file.truncate(whole)
        return self

    def __exit__(self, *_: object) -> None:
        if self._file is not None:
            self._file.close()

    def add(self, entry: JournalEntry) -> None:
        """Append an entry to the file."""
        self._write(JOURNAL_ENTRY.to_dict(entry))

    def finish(self) -> None:
        """Write that the unit has no further piece."""
        self._write(FINISHED)

    def _write(self, values: dict[str, Any]) -> None:
        if self._file is None:
            raise ValueError("the journal is not open")
        self._file.write(json.dumps(values, separators=(",", ":")) + "\n")
        self._file.flush()


def whole_bytes(path: Path) -> int:
    """Return the length of a journal up to its last complete line."""
    return path.read_bytes().rfind(b"\n") + 1 if path.exists() else 0


def is_finished(path: Path) -> bool:
    """Return whether the unit of a journal is done."""
    return _last_line(path) == FINISHED


def bytes_done(path: Path) -> int:
    """Return the position of an unfinished unit in its files."""
    return int(_last_line(path).get("at_bytes", 0))


def entries(path: Path) -> Iterator[JournalEntry]:
    """Yield all entries of a journal, one in memory at a time."""
    if not path.exists():
        return
    with path.open("rb") as file:
        for line in file:
            values: dict[str, Any] = json.loads(line) if line.endswith(b"\n") else FINISHED
            if values != FINISHED:
                yield JOURNAL_ENTRY.from_dict(values)


def _last_line(path: Path) -> dict[str, Any]:
    """Return the last complete line, or an empty mapping if there is none."""
    if not path.exists():
        return {}
    with path.open("rb") as file:
        size = file.seek(0, 2)
        for reach in (2**13, 2**20, size):
            file.seek(max(0, size - reach))
            lines = file.read().split(b"\n")
            if len(lines) > 2 or reach >= size:
                break
    values: dict[str, Any] = json.loads(lines[-2]) if len(lines) > 1 else {}
    return values
