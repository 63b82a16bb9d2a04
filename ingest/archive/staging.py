"""Storing of the fields of one unit of work under their number in the unit; another run resumes it."""

import fcntl
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import numpy as np
import zarr

from core.arrays import Float32Field
from core.errors import FrameError, TooLargeError
from core.frame import RadarFrame
from core.grid import Grid
from core.units import WET_MMH
from ingest.archive.journal import Journal, JournalEntry, StoredField, entries, is_finished
from ingest.archive.pieces import Piece, pieces
from ingest.archive.units import Unit
from ingest.plausibility import field_notes

RATE: Final = "rainfall_rate"
ZSTD: Final = {"id": "zstd", "level": 3}
MOST_FIELDS: Final = 2**31 - 1
"""Length of an array whose final length is not known yet; Zarr stores only the chunks that are written."""


@dataclass(frozen=True)
class Target:
    """Grid and product of an archive; all other fields are left out.

    Attributes:
        folder: of the unfinished work: `units/ID` for each unit.
        root: the folder that the units' paths are relative to.
    """

    folder: Path
    root: Path
    grid: Grid
    product: str

    def unit_folder(self, unit: Unit) -> Path:
        """Return the folder of a unit's fields and journal."""
        return self.folder / "units" / unit.id

    def journal(self, unit: Unit) -> Path:
        """Return the path of a unit's journal."""
        return self.unit_folder(unit) / "journal.jsonl"


def stage(unit: Unit, target: Target) -> None:
    """Store all fields of a unit that are not stored yet; safe to run again after a kill at any point."""
    with _at_work(target.folder):
        path = target.journal(unit)
        if is_finished(path):
            return
        done = stored = 0
        for entry in entries(path):
            done, stored = done + 1, stored + len(entry.fields)
        writer = ChunkWriter(target.unit_folder(unit) / "fields", target.grid)
        with Journal(path) as journal:
            for number, piece in enumerate(pieces(unit, target.root)):
                if number >= done:
                    entry = _store(piece, target, writer, stored)
                    journal.add(entry)
                    stored += len(entry.fields)
            journal.finish()


def create_array(path: Path, grid: Grid, length: int) -> Any:
    """Create an array of fields, one chunk each (Zarr version 2, ZSTD)."""
    return (
        zarr.create_array(
            str(path),
            shape=(length, *grid.shape),
            chunks=(1, *grid.shape),
            dtype="float32",
            zarr_format=2,
            compressors=ZSTD,
            fill_value=float("nan"),
            config={"write_empty_chunks": True},
            overwrite=False,
        )
        if not (path / ".zarray").exists()
        else zarr.open_array(str(path), mode="r+", zarr_format=2)
    )


class ChunkWriter:
    """Writes chunks of an array as Zarr does, but without its threads; a chunk cut by a kill is written again."""

    def __init__(self, path: Path, grid: Grid) -> None:
        self._path = path
        self._codec = create_array(path, grid, MOST_FIELDS).compressors[0]

    def write(self, number: int, field_HW: Float32Field) -> None:
        """Write one field as a chunk."""
        (self._path / f"{number}.0.0").write_bytes(self._codec.encode(np.ascontiguousarray(field_HW, "<f4")))


def _store(piece: Piece, target: Target, writer: ChunkWriter, at: int) -> JournalEntry:
    """Store the fields of a piece that belong to the archive; the others are named, in the notes if any is stored."""
    notes: list[str] = []
    frames, refused = list[RadarFrame](), list[str]()
    try:
        for frame in piece.load(notes):
            reason = _misfit(frame, target)
            if reason is None:
                frames.append(frame)
            else:
                refused.append(reason)
    except (FrameError, TooLargeError) as err:
        return JournalEntry(piece.name, piece.at_bytes, rejected=str(err))
    if refused and not frames:
        return JournalEntry(piece.name, piece.at_bytes, rejected=refused[0])
    for number, frame in enumerate(frames, start=at):
        writer.write(number, frame.rate_mmh_HW)
    notes += [f"a field is left out: {reason}" for reason in refused] + field_notes(frames)
    return JournalEntry(piece.name, piece.at_bytes, tuple(map(_summary, frames)), notes=tuple(notes))


def _misfit(frame: RadarFrame, target: Target) -> str | None:
    """Return why a field does not belong to the archive, or None."""
    if frame.is_forecast:
        return f"expected observations, got a forecast of {frame.lead_minutes} minutes"
    if frame.product != target.product:
        return f"expected the archive's product {target.product}, got {frame.product}"
    if not frame.grid.same_place(target.grid):
        return f"expected the grid {target.grid.name or target.grid.shape}, got {frame.grid.name or frame.grid.shape}"
    return None


def _summary(frame: RadarFrame) -> StoredField:
    values_N = frame.rate_mmh_HW[frame.rate_mmh_HW == frame.rate_mmh_HW]
    seconds = round(frame.valid_time.timestamp())
    if not values_N.size:
        return StoredField(seconds, 0, None, None, None, frame.missing_radars)
    return StoredField(
        seconds,
        values_N.size,
        round(np.count_nonzero(values_N >= WET_MMH) / values_N.size, 6),
        round(float(values_N.mean(dtype=np.float64)), 6),
        round(float(values_N.max()), 3),
        frame.missing_radars,
    )


@contextmanager
def _at_work(folder: Path) -> Iterator[None]:
    """Hold a lock while files are written, so that a new build waits for a worker that outlives its killed parent."""
    with (folder / "workers.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_SH)
        yield
