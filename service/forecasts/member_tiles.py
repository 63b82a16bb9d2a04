"""Chunks of members' files that stay in memory, so that the response for a place near a recent one reads no file."""

from dataclasses import dataclass
from pathlib import Path
from typing import Final

import netCDF4
import numpy as np
from numpy.typing import NDArray

from core.arrays import Float32Field
from core.cf import NETCDF_C, reading_own
from service.forecasts.held import HeldContents
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
        self._heads: HeldContents[FileKey, MembersHead] = HeldContents(HELD_FILES, lambda _: 1)
        self._tiles: HeldContents[tuple[FileKey, Cell], Codes] = HeldContents(most_bytes, lambda codes: codes.nbytes)

    def held(self, path: Path, cell: Cell) -> Float32Field | None:
        """Return all members and leads of a grid cell, (M, L) in mm/h; None where they are not in memory.

        Raises:
            FileNotFoundError: there is no such file.
        """
        file = _key(path)
        head = self._heads.find(file)
        codes_MLHW = None if head is None else self._tiles.find((file, _tile(head, cell)))
        return None if head is None or codes_MLHW is None else _series(head, codes_MLHW, cell)

    def read(self, path: Path, cell: Cell) -> Float32Field:
        """Return the same, with the chunk of the cell read where it is not in memory.

        Raises:
            OSError, IndexError: the file is not readable.
        """
        file = _key(path)
        head = self._heads.read(file, lambda: _head(path))
        tile = _tile(head, cell)
        return _series(head, self._tiles.read((file, tile), lambda: _codes(path, tile)), cell)


def _head(path: Path) -> MembersHead:
    with reading_own(path), NETCDF_C, netCDF4.Dataset(path) as dataset:
        dataset.set_auto_maskandscale(False)
        return MembersHead(int(dataset.getncattr(FACTOR)), np.asarray(dataset[TABLE][:], np.float32))


def _codes(path: Path, tile: Cell) -> Codes:
    parts = (slice(index * TILE, (index + 1) * TILE) for index in tile)
    with reading_own(path), NETCDF_C, netCDF4.Dataset(path) as dataset:
        dataset.set_auto_maskandscale(False)
        return np.asarray(dataset[MEMBERS][:, :, *parts])


def _key(path: Path) -> FileKey:
    return path, path.stat().st_mtime_ns


def _tile(head: MembersHead, cell: Cell) -> Cell:
    return cell[0] // head.factor // TILE, cell[1] // head.factor // TILE


def _series(head: MembersHead, codes_MLHW: Codes, cell: Cell) -> Float32Field:
    row, col = (index // head.factor % TILE for index in cell)
    return decoded(codes_MLHW[:, :, row, col], head.table)


TILES: Final = MemberTiles()
"""Chunks of this process."""
