"""Ensemble members and amounts of a forecast: a file of their own, which follows the forecast and may be missing."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Final, TypeVar

import netCDF4
import numpy as np
from numpy.typing import NDArray

from core.amounts import ForecastAmounts
from core.arrays import Float32Field
from core.cells import on_grid
from core.cf import NETCDF_C, reading_own
from core.errors import NoDataError
from core.shared_files import is_there, keeper_of
from service.forecasts.held import HeldContents
from service.forecasts.member_codes import NO_DATA, decoded
from service.forecasts.member_file import (
    AMOUNT_STEP_MM,
    FACTOR,
    MEMBERS,
    NO_AMOUNT,
    PROBABILITY,
    PROBABILITY_STEP,
    QUANTILE,
    TABLE,
)
from service.forecasts.member_tiles import TILES
from service.forecasts.records import StoredForecast

HELD_AMOUNTS: Final = 4
"""About 5 MB each for 900 x 900 grid cells."""

HELD_MEMBER_BYTES: Final = 64 * 2**20
"""Ten members of 30 leads and 900 x 900 grid cells."""

Codes = NDArray[np.uint8]
Read = TypeVar("Read")


def members_path(forecast: StoredForecast) -> Path:
    """Return the path of a forecast's members, whether they are made or not."""
    return forecast.path.with_name(f"{forecast.path.stem}.members.nc")


def has_members(forecast: StoredForecast) -> bool:
    """Return whether a forecast's members are made; their file can be opened then."""
    return bool(forecast.thresholds_mmh) and is_there(members_path(forecast))


def read_members(
    forecast: StoredForecast,
    leads: Sequence[int] | None = None,
    rows: slice = slice(None),
    cols: slice = slice(None),
) -> Float32Field | None:
    """Read members on grid cells of the forecast, (M, L, H, W) in mm/h; None where they are not (yet) made.

    Args:
        forecast: which one.
        leads: their indices; None: all. Of a large area read one lead after the other.
        rows: of the forecast's grid, without a step.
        cols: as `rows`.

    Raises:
        NoDataError: the file is not readable.
    """
    block = read_member_block(forecast, rows, cols, leads)
    return None if block is None else _within(decoded(block.codes_MLHW, block.table), block.factor, block.inner)


@dataclass(frozen=True, eq=False)
class MemberBlock:
    """Members of a block, as their file holds them.

    Attributes:
        codes_MLHW: of the rates, on the members' own cells.
        table: rate in mm/h of each code, ascending over the wet ones; NaN is no data.
        factor: edge of these cells in grid cells.
        inner: the block among the grid cells of these cells.
    """

    codes_MLHW: Codes
    table: Float32Field
    factor: int
    inner: tuple[slice, slice]


def read_member_block(
    forecast: StoredForecast, rows: slice, cols: slice, leads: Sequence[int] | None = None
) -> MemberBlock | None:
    """Read the codes of all members around a block of grid cells; None where they are not (yet) made.

    Args:
        forecast: which one.
        rows: of the forecast's grid, without a step.
        cols: as `rows`.
        leads: their indices; None: all.

    Raises:
        NoDataError: the file is not readable.
    """

    def read(path: Path) -> MemberBlock:
        with reading_own(path), NETCDF_C, _opened(path) as dataset:
            factor = int(dataset.getncattr(FACTOR))
            part, inner = _cells((rows, cols), forecast.grid.shape, factor)
            chosen = slice(None) if leads is None else list(leads)
            return MemberBlock(dataset[MEMBERS][:, chosen, *part], dataset[TABLE][:], factor, inner)

    return _read(forecast, read)


def members_at(forecast: StoredForecast, cell: tuple[int, int]) -> Float32Field | None:
    """Read all members and leads of one grid cell, (M, L) in mm/h; None where they are not (yet) made.

    The chunks of recent places stay in memory.

    Raises:
        NoDataError: the file is not readable.
    """
    return _read(forecast, lambda path: TILES.read(path, cell))


def _read(forecast: StoredForecast, read: Callable[[Path], Read]) -> Read | None:
    """Return what a function reads from the file of members; None where it is not (yet) made.

    Raises:
        NoDataError: the file is not readable.
    """
    try:
        return read(members_path(forecast)) if has_members(forecast) else None
    except FileNotFoundError:
        return None
    except (OSError, IndexError) as err:
        raise NoDataError(f"the members of forecast {forecast.id} are not readable: {err}") from err


@dataclass(frozen=True, eq=False)
class WholeMember:
    """One member on all of its cells: codes by lead, and the rate of each code in mm/h."""

    codes_LHW: Codes
    table: Float32Field
    factor: int


_WHOLE: Final[HeldContents[tuple[Path, int, int], WholeMember]] = HeldContents(
    HELD_MEMBER_BYTES, lambda member: member.codes_LHW.nbytes
)


def member_count(forecast: StoredForecast) -> int:
    """Return the number of members; 0 where they are not (yet) made.

    Raises:
        NoDataError: the file is not readable.
    """
    return _read(forecast, lambda path: _count(path, path.stat().st_mtime_ns)) or 0


@lru_cache(maxsize=256)
def _count(path: Path, changed_ns: int) -> int:
    """Return the number of members of a file; keyed by its time of change."""
    del changed_ns
    with reading_own(path), NETCDF_C, _opened(path) as dataset:
        return int(dataset[MEMBERS].shape[0])


def member_field(forecast: StoredForecast, member: int, lead: int) -> Float32Field:
    """Return one lead of a member on the forecast's grid, (H, W) in mm/h; NaN is no data.

    All leads of the member stay in memory: its maps are requested one after the other, and every chunk of the file
    holds all members.

    Args:
        forecast: which one.
        member: its index.
        lead: its index.

    Raises:
        NoDataError: there are no members, or the file is not readable.
    """

    def held(path: Path) -> WholeMember:
        return _WHOLE.read((path, path.stat().st_mtime_ns, member), lambda: _whole(path, member))

    found = _read(forecast, held)
    if found is None:
        raise NoDataError(f"forecast {forecast.id} has no ensemble members (yet)")
    return on_grid(decoded(found.codes_LHW[lead], found.table), found.factor, forecast.grid.shape)


def _whole(path: Path, member: int) -> WholeMember:
    with reading_own(path), NETCDF_C, _opened(path) as dataset:
        return WholeMember(dataset[MEMBERS][member], dataset[TABLE][:], int(dataset.getncattr(FACTOR)))


def members_held(forecast: StoredForecast, cell: tuple[int, int] | None) -> bool:
    """Return whether `members_at` reads no file: its chunk is in memory, or there are no members or no cell."""
    path = members_path(forecast)
    try:
        return cell is None or TILES.held(path, cell) is not None
    except FileNotFoundError:
        return keeper_of(path) is None  # else they may be in the store of files


def read_amounts(
    forecast: StoredForecast, rows: slice = slice(None), cols: slice = slice(None)
) -> ForecastAmounts | None:
    """Read the amounts on grid cells of the forecast; None where they are not (yet) made, or no period fits the leads.

    The packed amounts of recent forecasts stay in memory.

    Raises:
        NoDataError: the file is not readable.
    """
    held = _read(forecast, lambda path: _held_amounts(path, path.stat().st_mtime_ns))
    if held is None:
        return None
    part, inner = _cells((rows, cols), forecast.grid.shape, held.factor)
    probability_SKHW, quantile_mm_SQHW = (
        _within(values_HW, held.factor, inner)
        for values_HW in _amounts_of(held.codes_SKHW[..., *part], held.steps_SQHW[..., *part])
    )
    return ForecastAmounts(held.minutes, held.thresholds_mm, probability_SKHW, held.quantiles, quantile_mm_SQHW)


def amounts_at(forecast: StoredForecast, cell: tuple[int, int]) -> ForecastAmounts | None:
    """Read the amounts of one grid cell, as fields of one cell; None as `read_amounts`.

    Raises:
        NoDataError: the file is not readable.
    """
    row, col = cell
    return read_amounts(forecast, slice(row, row + 1), slice(col, col + 1))


def _opened(path: Path) -> netCDF4.Dataset:
    dataset = netCDF4.Dataset(path)
    dataset.set_auto_maskandscale(False)
    return dataset


@dataclass(frozen=True, eq=False)
class PackedAmounts:
    """The amounts of a forecast as its file holds them, on the members' cells; otherwise as `ForecastAmounts`."""

    factor: int
    minutes: tuple[int, ...]
    thresholds_mm: tuple[float, ...]
    quantiles: tuple[float, ...]
    codes_SKHW: Codes
    steps_SQHW: NDArray[np.uint16]


@lru_cache(maxsize=HELD_AMOUNTS)
def _held_amounts(path: Path, changed_ns: int) -> PackedAmounts | None:
    """Return the packed amounts of a file; keyed by its time of change."""
    del changed_ns
    with reading_own(path), NETCDF_C, _opened(path) as dataset:
        if PROBABILITY not in dataset.variables:
            return None
        minutes, thresholds, quantiles = (
            tuple(dataset[name][:].tolist()) for name in ("period", "amount_threshold", "quantile")
        )
        rounded = tuple(round(one, 6) for one in quantiles)
        codes_SKHW, steps_SQHW = (np.asarray(dataset[name][...]) for name in (PROBABILITY, QUANTILE))
        return PackedAmounts(int(dataset.getncattr(FACTOR)), minutes, thresholds, rounded, codes_SKHW, steps_SQHW)


def _amounts_of(codes_SKHW: Codes, steps_SQHW: NDArray[np.uint16]) -> tuple[Float32Field, Float32Field]:
    """Return probabilities and quantiles in mm; NaN is no data."""
    return (
        np.where(codes_SKHW == NO_DATA, np.nan, codes_SKHW * PROBABILITY_STEP).astype(np.float32),
        np.where(steps_SQHW == NO_AMOUNT, np.nan, steps_SQHW * AMOUNT_STEP_MM).astype(np.float32),
    )


def _cells(
    wanted: tuple[slice, slice], shape: tuple[int, int], factor: int
) -> tuple[tuple[slice, slice], tuple[slice, slice]]:
    """Return the members' cells that hold grid cells, and these grid cells among those of the members' cells."""
    outer, inner = [], []
    for part, length in zip(wanted, shape, strict=True):
        start, stop, _ = part.indices(length)
        first = start // factor
        outer.append(slice(first, -(-stop // factor)))
        inner.append(slice(start - first * factor, stop - first * factor))
    return (outer[0], outer[1]), (inner[0], inner[1])


def _within(values_HW: Float32Field, factor: int, inner: tuple[slice, slice]) -> Float32Field:
    """Return the block of grid cells `inner` of members' cells."""
    return on_grid(values_HW, factor, tuple(part.stop for part in inner))[..., *inner]
