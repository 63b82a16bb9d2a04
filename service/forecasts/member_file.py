"""The file of ensemble members as a CF data set: one byte a rate, chunks of all members and leads of a few cells."""

from dataclasses import dataclass, replace
from typing import Any, Final

import numpy as np
import xarray as xr
from numpy.typing import NDArray

from core.amounts import ForecastAmounts
from core.arrays import Float32Field
from core.cf import axes_dataset
from core.grid import Grid
from core.times import iso
from service.forecasts.member_codes import NO_DATA
from service.forecasts.records import StoredForecast

MEMBERS: Final = "member_rate_code"
TABLE: Final = "rate_of_code"
PROBABILITY: Final = "amount_exceedance_probability"
QUANTILE: Final = "amount_quantile"
FACTOR: Final = "grid_factor"
TILE: Final = 16
"""Edge of a chunk in cells of members."""

PROBABILITY_STEP: Final = 0.005
AMOUNT_STEP_MM: Final = 0.01
NO_AMOUNT: Final = 65535
AMOUNT_ATTRIBUTES: Final = {
    "grid_mapping": "crs",
    "comment": "trapezoid rule over the members: the newest scan, then each lead",
}
PROBABILITY_ATTRIBUTES: Final = {
    **AMOUNT_ATTRIBUTES,
    "long_name": "probability that the amount is at or above the threshold",
    "units": "1",
    "scale_factor": PROBABILITY_STEP,
    "_FillValue": np.uint8(NO_DATA),
}
QUANTILE_ATTRIBUTES: Final = {
    **AMOUNT_ATTRIBUTES,
    "standard_name": "lwe_thickness_of_precipitation_amount",
    "long_name": "quantile of the amount over the members",
    "units": "mm",
    "scale_factor": AMOUNT_STEP_MM,
    "_FillValue": np.uint16(NO_AMOUNT),
}


@dataclass(frozen=True, eq=False)
class MembersContent:
    """What a file of members holds, on their own cells.

    Attributes:
        codes_MLHW: codes of the rates.
        table: rate of each code.
        factor: edge of a cell in grid cells of the forecast.
        amounts: of the next hours; None where no period fits the leads.
    """

    codes_MLHW: NDArray[np.uint8]
    table: Float32Field
    factor: int
    amounts: ForecastAmounts | None


def members_dataset(forecast: StoredForecast, content: MembersContent) -> xr.Dataset:
    """Return the data set of a file of members, with its encoding."""
    members, leads, height, width = content.codes_MLHW.shape
    dataset = _axes(forecast, content.factor, (height, width)).assign_coords(
        member=("member", np.arange(members, dtype=np.int32), {"standard_name": "realization", "units": "1"})
    )
    dataset[TABLE] = ("code", content.table, {"long_name": "rain rate of each code", "units": "mm h-1"})
    attributes = {
        "long_name": f"rain rate of a member, as an index of {TABLE}",
        "units": "1",
        "grid_mapping": "crs",
        "_FillValue": np.uint8(NO_DATA),
    }
    encoding = _packed((members, leads, TILE, TILE), (height, width))
    dataset[MEMBERS] = (("member", "time", "y", "x"), content.codes_MLHW, attributes, encoding)
    if content.amounts is not None:
        dataset = _with_amounts(dataset, content.amounts, (height, width))
    for name in dataset.coords:
        dataset[name].encoding["_FillValue"] = None  # CF allows no missing values there
    return dataset


def _axes(forecast: StoredForecast, factor: int, shape: tuple[int, int]) -> xr.Dataset:
    """Return the times, the axes of the members' cells, and the global attributes."""
    attributes = {
        "title": f"Ensemble members of the precipitation nowcast of {iso(forecast.reference_time)}",
        "source": f"{forecast.method} on radar product {forecast.product}",
        "history": f"{iso(forecast.issued_at)} members made",
        "forecast_id": forecast.id,
        FACTOR: factor,
    }
    grid, reference_time = _coarse(forecast.grid, factor, shape), forecast.reference_time
    return axes_dataset(forecast.valid_times, grid, reference_time=reference_time, attributes=attributes)


def _with_amounts(dataset: xr.Dataset, amounts: ForecastAmounts, shape: tuple[int, int]) -> xr.Dataset:
    coordinates: dict[str, tuple[Any, str, str]] = {
        "period": (np.array(amounts.minutes, np.int32), "minutes", "period from the reference time on"),
        "amount_threshold": (np.array(amounts.thresholds_mm), "mm", "amount that is reached"),
        "quantile": (np.array(amounts.quantiles), "1", "probability that the amount is not exceeded"),
    }
    for name, (values, units, title) in coordinates.items():
        dataset = dataset.assign_coords({name: (name, values, {"units": units, "long_name": title})})
    codes_SKHW = _rounded(amounts.probability_SKHW, PROBABILITY_STEP, NO_DATA).astype(np.uint8)
    codes_SQHW = _rounded(amounts.quantile_mm_SQHW, AMOUNT_STEP_MM, NO_AMOUNT).astype(np.uint16)
    for name, axis, codes_HW, attributes in (
        (PROBABILITY, "amount_threshold", codes_SKHW, PROBABILITY_ATTRIBUTES),
        (QUANTILE, "quantile", codes_SQHW, QUANTILE_ATTRIBUTES),
    ):
        encoding = _packed((*codes_HW.shape[:2], 4 * TILE, 4 * TILE), shape)
        dataset[name] = (("period", axis, "y", "x"), codes_HW, attributes, encoding)
    return dataset


def _rounded(values: Float32Field, step: float, fill: int) -> NDArray[np.float64]:
    """Return values in steps, `fill` for NaN and at most the number below it."""
    steps = np.rint(values.astype(np.float64) / step)
    return np.where(np.isnan(steps), fill, np.minimum(steps, fill - 1))


def _packed(chunk: tuple[int, ...], shape: tuple[int, int]) -> dict[str, Any]:
    chunks = (*chunk[:-2], *(min(pair) for pair in zip(chunk[-2:], shape, strict=True)))
    return {"zlib": True, "complevel": 2, "shuffle": False, "chunksizes": chunks}


def _coarse(grid: Grid, factor: int, shape: tuple[int, int]) -> Grid:
    """Return the grid of larger cells from the same corner in the north-west; it may reach beyond in the south-east."""
    if factor == 1:
        return grid
    return replace(
        grid,
        pixel_x_m=grid.pixel_x_m * factor,
        pixel_y_m=grid.pixel_y_m * factor,
        height=shape[0],
        width=shape[1],
        name=f"{grid.name}@{factor}",
    )
