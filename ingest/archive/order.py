"""From the journals of all units to the archive's order of fields: ascending in time, each time once."""

from array import array
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Final

import numpy as np
from numpy.typing import NDArray

from ingest.archive.journal import StoredField, entries
from ingest.archive.layout import FrameTable
from ingest.archive.staging import Target
from ingest.archive.units import Unit

MOST_NAMED: Final = 1000
"""Files and times that a report names one by one; it counts the others."""


@dataclass
class Found:
    """The content of all journals, compact: an archive of 20 years has two million fields.

    Attributes:
        rejected: (file, reason) of the first `MOST_NAMED`.
        rejected_count: number of all rejected files.
        notes: (file, note) of the first `MOST_NAMED`.
        note_count: number of all notes.
        missing_radars: number of fields that lack a site, by site.
    """

    unit: "array[int]" = field(default_factory=lambda: array("q"))
    number: "array[int]" = field(default_factory=lambda: array("q"))
    seconds: "array[int]" = field(default_factory=lambda: array("q"))
    observed: "array[int]" = field(default_factory=lambda: array("q"))
    wet_fraction: "array[float]" = field(default_factory=lambda: array("f"))
    mean_mmh: "array[float]" = field(default_factory=lambda: array("f"))
    max_mmh: "array[float]" = field(default_factory=lambda: array("f"))
    rejected: list[tuple[str, str]] = field(default_factory=list)
    rejected_count: int = 0
    notes: list[tuple[str, str]] = field(default_factory=list)
    note_count: int = 0
    missing_radars: Counter[str] = field(default_factory=Counter)

    def add(self, unit: int, number: int, one: StoredField) -> None:
        """Add the numbers of a field."""
        self.unit.append(unit)
        self.number.append(number)
        self.seconds.append(one.seconds)
        self.observed.append(one.observed)
        for column, value in (
            (self.wet_fraction, one.wet_fraction),
            (self.mean_mmh, one.mean_mmh),
            (self.max_mmh, one.max_mmh),
        ):
            column.append(np.nan if value is None else value)
        self.missing_radars.update(one.missing_radars)


@dataclass(frozen=True)
class Order:
    """The archive's fields in ascending time.

    Attributes:
        table: the numbers of each field.
        sources: (unit, number in the unit) of each, shape (T, 2).
        duplicate_seconds: times with more than one field; the field with the most observed cells is kept, or the first
            in the order of files if they have equally many.
    """

    table: FrameTable
    sources: NDArray[np.int64]
    duplicate_seconds: NDArray[np.int64]


def read_journals(units: Sequence[Unit], target: Target) -> Found:
    """Return the content of the journals of all units."""
    found = Found()
    for index, unit in enumerate(units):
        number = 0
        for entry in entries(target.journal(unit)):
            if entry.rejected is not None:
                found.rejected_count += 1
                if len(found.rejected) < MOST_NAMED:
                    found.rejected.append((entry.name, entry.rejected))
            found.note_count += len(entry.notes)
            found.notes += [(entry.name, note) for note in entry.notes][: MOST_NAMED - len(found.notes)]
            for one in entry.fields:
                found.add(index, number, one)
                number += 1
    return found


def put_in_order(found: Found, cells: int) -> Order:
    """Return the fields in ascending time, each time once."""
    seconds = np.array(found.seconds, np.int64)
    observed = np.array(found.observed, np.int64)
    by_time = np.lexsort((np.array(found.number), np.array(found.unit), -observed, seconds))
    _, first, count = np.unique(seconds[by_time], return_index=True, return_counts=True)
    kept = by_time[first]
    table = FrameTable(
        seconds[kept],
        (observed[kept] / cells).astype(np.float32),
        np.array(found.wet_fraction, np.float32)[kept],
        np.array(found.mean_mmh, np.float32)[kept],
        np.array(found.max_mmh, np.float32)[kept],
    )
    sources = np.stack([np.array(found.unit, np.int64)[kept], np.array(found.number, np.int64)[kept]], axis=1)
    return Order(table, sources, table.seconds[count > 1])


def field_files(order: Order, units: Sequence[Unit], target: Target) -> Iterator[str]:
    """Return the path of each field's chunk, in the archive's order."""
    folders = [f"{target.unit_folder(unit)}/fields" for unit in units]
    for unit, number in order.sources.tolist():
        yield f"{folders[unit]}/{number}.0.0"
