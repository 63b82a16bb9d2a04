"""The rain-rate fields of one file by time, for any file format."""

import hashlib
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final, Protocol

import numpy as np
from numpy.typing import NDArray

from core.arrays import Float32Field
from core.cells import mean_edge_m
from core.grid import Grid

IN_MEMORY_BYTES: Final = 2**30
WHOLE_DIGEST_BYTES: Final = 2**28


class FieldSource(Protocol):
    """The file that the fields of a series are read from.

    Attributes:
        time_chunk: number of fields that are decoded together, so that reading all of them costs no more than one.
    """

    time_chunk: int

    def read(self, which: slice) -> Float32Field:
        """Return fields in mm/h, row 0 in the north, NaN where not observed."""
        ...


@dataclass
class RadarSeries:
    """The fields of one file by time.

    Attributes:
        path: the NetCDF or HDF5 file or the Zarr folder.
        minutes: valid times in minutes since 1970, ascending.
        edges_m: height and width of a grid cell.
        grid: where its fields are; None if unknown.
        parts: the series of the files that were joined; empty for one file.
        digest: of the content, where the path is a folder of files; empty: it is that of the file.
    """

    path: Path
    minutes: NDArray[np.int64]
    edges_m: tuple[float, float]
    shape: tuple[int, int]
    source: FieldSource = field(repr=False)
    grid: Grid | None = field(default=None, repr=False)
    parts: tuple["RadarSeries", ...] = field(default=(), repr=False)
    digest: str = ""
    _cache: NDArray[np.float16] | None = field(default=None, repr=False)

    @property
    def place(self) -> str:
        """Return the key of its grid; empty if unknown."""
        return "" if self.grid is None else self.grid.key

    @property
    def pixel_m(self) -> float:
        """Return the mean edge of a grid cell."""
        return mean_edge_m(*self.edges_m)

    @property
    def own_cadence(self) -> int:
        """Return the minutes between two fields without a gap; of a single field one that leaves no window."""
        return int(np.diff(self.minutes).min()) if len(self.minutes) > 1 else 24 * 60

    def edges_resized(self, shape: tuple[int, int]) -> tuple[float, float]:
        """Return height and width of the cells after resizing whole fields to a number of rows and columns."""
        (pixel_y_m, pixel_x_m), (rows, cols) = self.edges_m, self.shape
        return pixel_y_m * rows / shape[0], pixel_x_m * cols / shape[1]

    def field_mmh(self, index: int) -> NDArray[np.float16] | Float32Field:
        """Return one field, mm/h, row 0 in the north, NaN where not observed."""
        field_HW: NDArray[np.float16] | Float32Field
        field_HW = self.source.read(slice(index, index + 1))[0] if self._cache is None else self._cache[index]
        return field_HW

    def fields_mmh(self, which: slice) -> NDArray[np.float16] | Float32Field:
        """Return several fields with one read of the source."""
        return self.source.read(which) if self._cache is None else self._cache[which]

    def window_starts(self, steps: int, cadence_minutes: int) -> NDArray[np.int64]:
        """Return the indices of fields that begin a gap-free window of `steps` fields at a cadence."""
        starts = np.arange(len(self.minutes))
        for step in range(1, steps):
            wanted = self.minutes + step * cadence_minutes
            found = np.searchsorted(self.minutes, wanted)
            there = (found < len(self.minutes)) & (self.minutes[np.minimum(found, len(self.minutes) - 1)] == wanted)
            starts = starts[there[starts]]
        return starts.astype(np.int64)

    def window_indices(self, start: int, steps: int, cadence_minutes: int) -> NDArray[np.int64]:
        """Return the indices of the fields of the window that begins at `start`."""
        wanted = self.minutes[start] + cadence_minutes * np.arange(steps)
        return np.asarray(np.searchsorted(self.minutes, wanted), np.int64)

    @property
    def held_bytes(self) -> int:
        """Return the memory that all its fields take as `keep_in_memory` holds them."""
        return len(self.minutes) * self.shape[0] * self.shape[1] * 2

    @property
    def contents(self) -> str:
        """Return name, number of fields, time between the first and the last, and spacings, for messages."""
        steps = [int(step) for step in np.unique(np.diff(self.minutes))[:3]]
        apart = f", {' or '.join(map(str, steps))} apart" if steps else ""
        minutes = int(self.minutes[-1] - self.minutes[0])
        return f"{self.path.name}: {len(self.minutes)} fields over {minutes} minutes{apart}"

    @property
    def is_small(self) -> bool:
        """Return whether all its fields may be held in memory."""
        return self.held_bytes <= IN_MEMORY_BYTES

    def keep_in_memory(self) -> None:
        """Hold all fields as float16 (a relative error below 0.05 %), if they are small enough."""
        if self._cache is None and self.is_small:
            self._cache = np.concatenate(
                [self.source.read(slice(i, i + 8)).astype(np.float16) for i in range(0, len(self.minutes), 8)]
            )

    def fingerprints(self) -> list[dict[str, Any]]:
        """Return the fingerprint of every file."""
        return [one.fingerprint() for one in self.parts or (self,)]

    def fingerprint(self) -> dict[str, Any]:
        """Return name, times and sha256 of the data: of a Zarr store its metadata, of files above 256 MiB both ends."""
        first, last = (
            datetime.fromtimestamp(int(m) * 60, UTC).isoformat() for m in (self.minutes[0], self.minutes[-1])
        )
        return {
            "file": self.path.name,
            "first": first,
            "last": last,
            "fields": len(self.minutes),
            "sha256": self.digest or digest_of(self.path),
        }


def digest_of(path: Path) -> str | None:
    """Return the sha256 of a file or of a Zarr store's metadata; of files above 256 MiB that of size and both ends."""
    content = next((p for p in (path, path / "zarr.json", path / ".zmetadata") if p.is_file()), None)
    if content is None:
        return None
    size = content.stat().st_size
    if size <= WHOLE_DIGEST_BYTES:
        return hashlib.sha256(content.read_bytes()).hexdigest()
    with content.open("rb") as file:
        digest = hashlib.sha256(f"{size}".encode() + file.read(2**20))
        file.seek(-(2**20), 2)
        digest.update(file.read())
    return digest.hexdigest()
