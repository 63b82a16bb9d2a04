"""Fields of CF data, event NetCDF files and Zarr archives: rain rates, or amounts per step as in RADKLIM's archive."""

from dataclasses import dataclass
from pathlib import Path
from typing import Final

import numpy as np
import xarray as xr
from numpy.typing import NDArray

from core import cf
from core.arrays import Float32Field
from core.errors import FrameError
from training.datasets.radar_series import RadarSeries

AMOUNT_NAMES: Final = ("rainfall_amount", "precipitation_amount", "lwe_thickness_of_precipitation_amount")
AMOUNT_UNITS: Final = ("mm", "kg m-2", "kg/m2", "kg m^-2", "kg m**-2")
MOST_AT_ONCE: Final = 128


@dataclass
class CFFields:
    """The fields of one variable of a CF data set."""

    variable: xr.DataArray
    mmh_per_unit: float
    south_first: bool

    def __post_init__(self) -> None:
        chunks = self.variable.encoding.get("preferred_chunks", {})
        self.time_chunk = min(int(chunks.get(self.variable.dims[0], 1)), MOST_AT_ONCE)

    def read(self, which: slice) -> Float32Field:
        """Return fields in mm/h, row 0 in the north, NaN where not observed."""
        values_THW = np.asarray(self.variable[which].values, np.float32) * np.float32(self.mmh_per_unit)
        return values_THW[:, ::-1] if self.south_first else values_THW


def open_cf(path: Path) -> RadarSeries:
    """Open one NetCDF file or Zarr folder.

    Raises:
        FrameError: no rain rate or amount with CF times and grid in it.
    """
    dataset = _open(path)
    amount = _find_amount(dataset)
    rain = cf.find_rate(dataset) if amount is None else amount
    if rain.ndim != 3:
        raise FrameError(f"{path.name}: {rain.name}: expected the dimensions (time, y, x), got {rain.dims}")
    grid, south_first = cf.find_grid(dataset, rain)
    times = cf.times_of(dataset, str(rain.dims[0]))
    minutes = np.array([round(time.timestamp() / 60) for time in times], np.int64)
    factor = cf.mmh_per_unit(rain) if amount is None else 60.0 / _step_minutes(path, minutes)
    return RadarSeries(path, minutes, grid.pixel_m, grid.shape, CFFields(rain, factor, south_first))


def _open(path: Path) -> xr.Dataset:
    try:
        if path.is_dir():
            dataset: xr.Dataset = xr.open_zarr(path, consolidated=_consolidated(path), chunks=None)
            return dataset
        return xr.open_dataset(path, engine="netcdf4")
    except (OSError, ValueError, KeyError) as err:
        raise FrameError(f"{path.name}: expected a NetCDF file or a Zarr store, got {err}") from err


def _consolidated(store: Path) -> bool:
    metadata = store / "zarr.json"
    return (store / ".zmetadata").is_file() or (metadata.is_file() and "consolidated_metadata" in metadata.read_text())


def _find_amount(dataset: xr.Dataset) -> xr.DataArray | None:
    """Return rain per time step in mm if the data set has no rate."""
    names = {v.attrs.get("standard_name") for v in dataset.data_vars.values()} | {str(n) for n in dataset.data_vars}
    if names & set(cf.RATE_NAMES):
        return None
    amounts = [
        variable
        for name, variable in dataset.data_vars.items()
        if variable.ndim == 3
        and (variable.attrs.get("standard_name") in AMOUNT_NAMES or name in AMOUNT_NAMES)
        and str(variable.attrs.get("units")) in AMOUNT_UNITS
    ]
    return amounts[0] if amounts else None


def _step_minutes(path: Path, minutes: NDArray[np.int64]) -> int:
    """Return the interval of an amount: the most frequent step, since gaps make longer ones."""
    if len(minutes) < 2:
        raise FrameError(f"{path.name} holds {len(minutes)} field of rain amounts; two or more give the interval")
    steps, counts = np.unique(np.diff(minutes), return_counts=True)
    return max(int(steps[counts.argmax()]), 1)
