"""Ensemble members and amounts of a forecast: a file of their own, which follows the forecast and may be missing."""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any, Final

import netCDF4
import numpy as np
from numpy.typing import NDArray

from core.arrays import Float32Field
from core.cf import NETCDF_C
from core.errors import NoDataError
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

Codes = NDArray[np.uint8]


@dataclass(frozen=True, eq=False)
class StoredAmounts:
    """Amounts since the reference time on grid cells of the forecast; NaN is no data.

    Attributes:
        minutes: ends of the periods.
        thresholds_mm: ascending.
        probability_SKHW: probability of at least each amount.
        quantiles: ascending, as fractions.
        quantile_mm_SQHW: amounts that are not exceeded with these probabilities.
    """

    minutes: tuple[int, ...]
    thresholds_mm: tuple[float, ...]
    probability_SKHW: Float32Field
    quantiles: tuple[float, ...]
    quantile_mm_SQHW: Float32Field


def members_path(forecast: StoredForecast) -> Path:
    """Return the path of a forecast's members, whether they are made or not."""
    return forecast.path.with_name(f"{forecast.path.stem}.members.nc")


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
    path, shape = members_path(forecast), forecast.grid.shape
    try:
        with NETCDF_C, _opened(path) as dataset:
            factor = int(dataset.getncattr(FACTOR))
            part, inner = _cells((rows, cols), shape, factor)
            chosen = slice(None) if leads is None else list(leads)
            codes_MLHW, table = dataset[MEMBERS][:, chosen, *part], dataset[TABLE][:]
    except FileNotFoundError:
        return None
    except (OSError, IndexError) as err:
        raise NoDataError(f"the members of forecast {forecast.id} are not readable: {err}") from err
    return _on_grid(decoded(codes_MLHW, table), factor, inner)


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


def read_member_block(forecast: StoredForecast, rows: slice, cols: slice) -> MemberBlock | None:
    """Read the codes of all members and leads around a block of grid cells; None where they are not (yet) made.

    Raises:
        NoDataError: the file is not readable.
    """
    try:
        with NETCDF_C, _opened(members_path(forecast)) as dataset:
            factor = int(dataset.getncattr(FACTOR))
            part, inner = _cells((rows, cols), forecast.grid.shape, factor)
            return MemberBlock(dataset[MEMBERS][:, :, *part], dataset[TABLE][:], factor, inner)
    except FileNotFoundError:
        return None
    except (OSError, IndexError) as err:
        raise NoDataError(f"the members of forecast {forecast.id} are not readable: {err}") from err


def members_at(forecast: StoredForecast, cell: tuple[int, int]) -> Float32Field | None:
    """Read all members and leads of one grid cell, (M, L) in mm/h; None where they are not (yet) made.

    The chunks of recent places stay in memory.

    Raises:
        NoDataError: the file is not readable.
    """
    try:
        return TILES.read(members_path(forecast), cell)
    except FileNotFoundError:
        return None
    except (OSError, IndexError) as err:
        raise NoDataError(f"the members of forecast {forecast.id} are not readable: {err}") from err


def members_held(forecast: StoredForecast, cell: tuple[int, int] | None) -> bool:
    """Return whether `members_at` reads no file: its chunk is in memory, or there are no members or no cell."""
    try:
        return cell is None or TILES.held(members_path(forecast), cell) is not None
    except FileNotFoundError:
        return True


def read_amounts(
    forecast: StoredForecast, rows: slice = slice(None), cols: slice = slice(None)
) -> StoredAmounts | None:
    """Read the amounts on grid cells of the forecast; None where they are not (yet) made, or no period fits the leads.

    Raises:
        NoDataError: the file is not readable.
    """
    try:
        with NETCDF_C, _opened(members_path(forecast)) as dataset:
            if PROBABILITY not in dataset.variables:
                return None
            factor = int(dataset.getncattr(FACTOR))
            part, inner = _cells((rows, cols), forecast.grid.shape, factor)
            minutes, thresholds, quantiles = (
                dataset[name][:].tolist() for name in ("period", "amount_threshold", "quantile")
            )
            codes_SKHW, steps_SQHW = (dataset[name][:, :, *part] for name in (PROBABILITY, QUANTILE))
    except FileNotFoundError:
        return None
    except (OSError, IndexError) as err:
        raise NoDataError(f"the amounts of forecast {forecast.id} are not readable: {err}") from err
    probability_SKHW, quantile_mm_SQHW = _amounts_of(codes_SKHW, steps_SQHW)
    return StoredAmounts(
        tuple(minutes),
        tuple(thresholds),
        _on_grid(probability_SKHW, factor, inner),
        tuple(round(one, 6) for one in quantiles),
        _on_grid(quantile_mm_SQHW, factor, inner),
    )


def amounts_at(forecast: StoredForecast, cell: tuple[int, int]) -> StoredAmounts | None:
    """Read the amounts of one grid cell, as fields of one cell; None as `read_amounts`.

    The codes of recent forecasts stay in memory.

    Raises:
        NoDataError: the file is not readable.
    """
    path = members_path(forecast)
    try:
        held = _held_amounts(path, path.stat().st_mtime_ns)
    except FileNotFoundError:
        return None
    except (OSError, IndexError) as err:
        raise NoDataError(f"the amounts of forecast {forecast.id} are not readable: {err}") from err
    if held is None:
        return None
    row, col = cell[0] // held.factor, cell[1] // held.factor
    part = (..., slice(row, row + 1), slice(col, col + 1))
    probability_SKHW, quantile_mm_SQHW = _amounts_of(held.codes_SKHW[part], held.steps_SQHW[part])
    return StoredAmounts(held.minutes, held.thresholds_mm, probability_SKHW, held.quantiles, quantile_mm_SQHW)


def _opened(path: Path) -> netCDF4.Dataset:
    dataset = netCDF4.Dataset(path)
    dataset.set_auto_maskandscale(False)
    return dataset


@dataclass(frozen=True, eq=False)
class PackedAmounts:
    """The amounts of a forecast as its file holds them, on the members' cells; otherwise as `StoredAmounts`."""

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
    with NETCDF_C, _opened(path) as dataset:
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


def _on_grid(values_HW: NDArray[Any], factor: int, inner: tuple[slice, slice]) -> Float32Field:
    """Return grid cells of fields (..., H, W), each value of a member's cell repeated."""
    repeated_HW = values_HW.repeat(factor, axis=-2).repeat(factor, axis=-1)
    return np.asarray(repeated_HW[..., *inner], np.float32)
