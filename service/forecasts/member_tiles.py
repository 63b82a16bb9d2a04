"""Chunks of members' files that stay in memory, so that the response for a place near a recent one reads no file."""

import threading
from collections import OrderedDict
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import netCDF4
import numpy as np
from numpy.typing import NDArray

from core.arrays import Float32Field
from core.cf import NETCDF_C
from service.forecasts.member_codes import decoded
from service.forecasts.member_file import FACTOR, MEMBERS, TABLE, TILE

Codes = NDArray[np.uint8]
FileKey = tuple[Path, int]
Cell = tuple[int, int]

HELD_BYTES: Final = 128 * 2**20
"""All of 20 members, 30 leads and 900 x 900 grid cells, so that random places find theirs."""

HELD_FILES: Final = 64


@dataclass(frozen=True, eq=False)
class MembersHead:
    """What decodes a file: the edge of the members' cells in grid cells, and the rate of each code."""

    factor: int
    table: Float32Field


class MemberTiles:
    """The most recently read chunks, up to a number of bytes; safe to share between threads."""

    def __init__(self, most_bytes: int = HELD_BYTES) -> None:
        self._most_bytes, self._bytes = most_bytes, 0
        self._heads: OrderedDict[FileKey, MembersHead] = OrderedDict()
        self._tiles: OrderedDict[tuple[FileKey, Cell], Codes] = OrderedDict()
        self._lock = threading.Lock()

    def held(self, path: Path, cell: Cell) -> Float32Field | None:
        """Return all members and leads of a grid cell, (M, L) in mm/h; None where they are not in memory.

        Raises:
            FileNotFoundError: there is no such file.
        """
        file = _key(path)
        with self._lock:
            head = self._heads.get(file)
            codes_MLHW = None if head is None else self._tiles.get((file, _tile(head, cell)))
            if head is None or codes_MLHW is None:
                return None
            self._heads.move_to_end(file)
            self._tiles.move_to_end((file, _tile(head, cell)))
        return _series(head, codes_MLHW, cell)

    def read(self, path: Path, cell: Cell) -> Float32Field:
        """Return the same, with the chunk of the cell read where it is not in memory.

        Raises:
            OSError, IndexError: the file is not readable.
        """
        series_ML = self.held(path, cell)
        if series_ML is not None:
            return series_ML
        file = _key(path)
        with NETCDF_C, netCDF4.Dataset(path) as dataset:
            dataset.set_auto_maskandscale(False)
            head = MembersHead(int(dataset.getncattr(FACTOR)), np.asarray(dataset[TABLE][:], np.float32))
            row, col = _tile(head, cell)
            parts = (slice(row * TILE, (row + 1) * TILE), slice(col * TILE, (col + 1) * TILE))
            codes_MLHW = np.asarray(dataset[MEMBERS][:, :, *parts])
        self._keep(file, head, (row, col), codes_MLHW)
        return _series(head, codes_MLHW, cell)

    def _keep(self, file: FileKey, head: MembersHead, tile: Cell, codes_MLHW: Codes) -> None:
        with self._lock:
            self._heads[file] = head
            while len(self._heads) > HELD_FILES:
                self._heads.popitem(last=False)
            before = self._tiles.pop((file, tile), None)
            self._tiles[file, tile] = codes_MLHW
            self._bytes += codes_MLHW.nbytes - (0 if before is None else before.nbytes)
            while len(self._tiles) > 1 and self._bytes > self._most_bytes:
                self._bytes -= self._tiles.popitem(last=False)[1].nbytes


def _key(path: Path) -> FileKey:
    return path, path.stat().st_mtime_ns


def _tile(head: MembersHead, cell: Cell) -> Cell:
    return cell[0] // head.factor // TILE, cell[1] // head.factor // TILE


def _series(head: MembersHead, codes_MLHW: Codes, cell: Cell) -> Float32Field:
    row, col = (index // head.factor % TILE for index in cell)
    return decoded(codes_MLHW[:, :, row, col], head.table)


TILES: Final = MemberTiles()
"""Chunks of this process."""
