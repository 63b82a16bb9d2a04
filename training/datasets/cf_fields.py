"""Fields of CF data, event NetCDF files and Zarr archives: rain rates, or amounts per step as in RADKLIM's archive."""

import logging
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

import numpy as np
import xarray as xr
from numpy.typing import NDArray

from core.arrays import Float32Field, FloatField
from core.cells import cell_edges_m
from core.cf_reading import find_grid, find_rain, is_amount, mmh_per_unit, unstated_marks, values_of
from core.cf_times import time_name, times_of
from core.errors import FrameError
from ingest.plausibility import masked_rates, remarks
from ingest.readers.cf_netcdf import leads_of, open_netcdf
from ingest.readers.cf_zarr import open_path
from training.datasets.radar_series import RadarSeries

MOST_AT_ONCE: Final = 128
MOST_LOGGED: Final = 20

log = logging.getLogger(__name__)


@dataclass
class CFFields:
    """The fields of one variable of a CF data set."""

    variable: xr.DataArray
    mmh_per_unit: float
    south_first: bool
    _logged: set[tuple[int, str]] = field(default_factory=set, repr=False)

    def __post_init__(self) -> None:
        chunks = self.variable.encoding.get("preferred_chunks", {})
        self.time_chunk = min(int(chunks.get(self.variable.dims[0], 1)), MOST_AT_ONCE)

    def read(self, which: slice) -> Float32Field:
        """Return fields in mm/h, row 0 in the north, NaN where not observed; a field without rates is not observed."""
        values_THW = values_of(self.variable, which)
        rate_mmh_THW = np.empty(values_THW.shape, np.float32)
        for number, values_HW in enumerate(values_THW):
            index = int(which.start or 0) + number
            try:
                rate_mmh_THW[number] = self._rates(index, values_HW)
            except FrameError as err:
                rate_mmh_THW[number] = np.nan
                self._remark(index, f"it is taken as not observed: {err}")
        return rate_mmh_THW[:, ::-1] if self.south_first else rate_mmh_THW

    def check(self, index: int) -> None:
        """Log why a field is implausible.

        Raises:
            FrameError: the field does not hold rain rates.
        """
        self._rates(index, values_of(self.variable, index))

    def _rates(self, index: int, values_HW: FloatField) -> Float32Field:
        """Return one field in mm/h, its remarks logged."""
        rate_mmh_HW, note = masked_rates(values_HW, self.mmh_per_unit, unstated_marks(self.variable))
        for text in (note, *remarks(rate_mmh_HW)):
            self._remark(index, text)
        return rate_mmh_HW

    def _remark(self, index: int, text: str) -> None:
        """Log a remark on a field at its first reading in this process; of many fields the first ones are enough."""
        if not text or (index, text) in self._logged or len(self._logged) > MOST_LOGGED:
            return
        self._logged.add((index, text))
        if len(self._logged) > MOST_LOGGED:
            text = "further remarks on fields of this file are not logged"
        log.warning("field %d of %s: %s", index, self.variable.name, text)


def open_cf(path: Path) -> RadarSeries:
    """Open one NetCDF file or Zarr folder.

    Raises:
        FrameError: no rain rate or amount with CF times and grid in it.
    """
    dataset = _open(path)
    rain = find_rain(dataset)
    if rain.ndim != 3:
        raise FrameError(f"{path.name}: {rain.name}: expected the dimensions (time, y, x), got {rain.dims}")
    grid, south_first = find_grid(dataset, rain)
    times = times_of(dataset, time_name(rain))
    if any(leads_of(dataset, times)):
        raise FrameError(f"{path.name}: expected observations, got a forecast")
    minutes = np.array([round(time.timestamp() / 60) for time in times], np.int64)
    factor = mmh_per_unit(rain, _step_minutes(path, minutes) if is_amount(rain) else 0.0)
    fields = CFFields(rain, factor, south_first)
    _check_some(path, fields, len(minutes))
    return RadarSeries(path, minutes, cell_edges_m(grid), grid.shape, fields, grid)


def _check_some(path: Path, fields: CFFields, count: int) -> None:
    """Read the first, the middle and the last field, so that a file of other values is refused before training."""
    refusals = []
    looked_at = sorted({0, count // 2, count - 1}) if count else []
    for index in looked_at:
        try:
            fields.check(index)
        except FrameError as err:
            refusals.append(f"{path.name}: field {index}: {err}")
    if refusals and len(refusals) == len(looked_at):
        raise FrameError(refusals[0])


def _open(path: Path) -> xr.Dataset:
    try:
        if path.is_dir() or path.suffix == ".zip":
            return open_path(path)
        return open_netcdf(path)
    except (OSError, ValueError, KeyError, RuntimeError) as err:
        raise FrameError(f"{path.name}: expected a NetCDF file or a Zarr store, got {err}") from err


def _step_minutes(path: Path, minutes: NDArray[np.int64]) -> int:
    """Return the interval of an amount: the most frequent step, since gaps make longer ones."""
    if len(minutes) < 2:
        raise FrameError(f"{path.name} holds {len(minutes)} field of rain amounts; two or more give the interval")
    steps, counts = np.unique(np.diff(minutes), return_counts=True)
    return max(int(steps[counts.argmax()]), 1)
