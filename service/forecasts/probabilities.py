"""Exceedance probabilities of a forecast: `probability_of_exceedance` in its file, and thresholds by value."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import netCDF4
import numpy as np
import xarray as xr

from core.arrays import Float32Field
from core.cf import NETCDF_C
from core.errors import NoDataError

VARIABLE: Final = "probability_of_exceedance"
THRESHOLD: Final = "threshold"
STEP: Final = 0.001
"""Unit of the whole numbers in a file, so that probabilities are exact to half of it."""

UNKNOWN: Final = np.int16(-1)


@dataclass(frozen=True)
class Probabilities:
    """Probability that the rate is at or above each threshold; NaN is no data.

    Attributes:
        thresholds_mmh: ascending.
        probability_NTHW: by threshold and lead, not rising with the threshold.
    """

    thresholds_mmh: tuple[float, ...]
    probability_NTHW: Float32Field

    @property
    def nbytes(self) -> int:
        """Return the memory of the array in bytes."""
        return self.probability_NTHW.nbytes


def threshold_index(thresholds_mmh: Sequence[float], wanted_mmh: float) -> int:
    """Return the index of a threshold among those of a forecast.

    Raises:
        NoDataError: it has no such threshold, or no probabilities at all.
    """
    for index, known_mmh in enumerate(thresholds_mmh):
        if math.isclose(known_mmh, wanted_mmh, rel_tol=1e-6):
            return index
    if not thresholds_mmh:
        raise NoDataError(f"threshold: this forecast has no probabilities, got {wanted_mmh:g} mm/h")
    known = ", ".join(f"{known_mmh:g}" for known_mmh in thresholds_mmh)
    raise NoDataError(f"threshold: expected one of {known} mm/h, got {wanted_mmh:g} mm/h")


def with_probabilities(dataset: xr.Dataset, probabilities: Probabilities) -> xr.Dataset:
    """Add probabilities to a `rate_dataset`, packed as CF defines it (chapter 8.1)."""
    found_NTHW = probabilities.probability_NTHW
    known_NTHW = np.isfinite(found_NTHW)
    packed_NTHW = np.where(known_NTHW, np.rint(np.where(known_NTHW, found_NTHW, 0) / STEP), UNKNOWN).astype(np.int16)
    attributes_N = {"long_name": "rain rate that is reached", "units": "mm h-1"}
    dataset = dataset.assign_coords(
        {THRESHOLD: (THRESHOLD, np.array(probabilities.thresholds_mmh, np.float64), attributes_N)}
    )
    attributes = {
        "long_name": "probability that the rain rate is at or above the threshold",
        "comment": "of the rate of one cell at the valid time itself, not of any rain within an area or a period",
        "units": "1",
        "grid_mapping": "crs",
        "ancillary_variables": "coverage",
        "scale_factor": STEP,
        "_FillValue": UNKNOWN,
        "valid_range": np.array([0, round(1 / STEP)], np.int16),
    }
    chunks = (1, 1, *packed_NTHW.shape[2:])
    encoding = {"zlib": True, "complevel": 4, "shuffle": True, "chunksizes": chunks}
    dataset[VARIABLE] = ((THRESHOLD, "time", "y", "x"), packed_NTHW, attributes, encoding)
    return dataset


def read_probabilities(path: Path) -> Probabilities | None:
    """Read the probabilities of one of the service's own files; None if it has none."""
    with NETCDF_C, netCDF4.Dataset(path) as dataset:
        if VARIABLE not in dataset.variables:
            return None
        found = np.ma.filled(np.ma.asarray(dataset[VARIABLE][...], np.float32), np.float32("nan"))
        thresholds = tuple(float(f"{value:.6g}") for value in dataset[THRESHOLD][...])
    return Probabilities(thresholds, np.asarray(found, np.float32))
