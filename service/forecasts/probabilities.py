"""Probabilities that the rate reaches thresholds: what they have to be, and `probability_of_exceedance` in a file."""

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
from core.errors import ForecastError, NoDataError

VARIABLE: Final = "probability_of_exceedance"
THRESHOLD: Final = "threshold"
STEP: Final = 0.001
"""A file holds whole numbers of it, so that probabilities stay within half of it."""

UNKNOWN: Final = np.int16(-1)
SLACK: Final = 1e-5
"""So much a probability may rise with its threshold: rounding."""


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
        """Memory of the array."""
        return self.probability_NTHW.nbytes


def usable(
    came: Probabilities | None, newest_mmh_HW: Float32Field, lead_steps: int
) -> tuple[Probabilities | None, tuple[str, ...]]:
    """A model's probabilities, NaN where the newest input is; where they are none, nothing and why."""
    if came is None:
        return None, ()
    try:
        return _checked(came, newest_mmh_HW, lead_steps), ()
    except ForecastError as err:
        return None, (f"its probabilities are left out: {err}",)


def _checked(came: Probabilities, newest_mmh_HW: Float32Field, lead_steps: int) -> Probabilities:
    """Raises ForecastError where they cannot be probabilities of these thresholds."""
    thresholds, found_NTHW = came.thresholds_mmh, came.probability_NTHW
    due = (len(thresholds), lead_steps, *newest_mmh_HW.shape)
    if found_NTHW.shape != due or not thresholds or list(thresholds) != sorted(set(thresholds)):
        raise ForecastError(f"fields of {found_NTHW.shape} for {thresholds} mm/h; {due} and ascending rates were due")
    seen_HW = np.isfinite(newest_mmh_HW)
    bad_NTHW = ~((found_NTHW >= 0) & (found_NTHW <= 1)) & seen_HW
    if bad_NTHW.any():
        raise ForecastError(f"{int(bad_NTHW.sum())} values are not within 0 to 1, where the newest input has a rate")
    rising = int(((np.diff(found_NTHW, axis=0) > SLACK) & seen_HW).sum())
    if rising:
        raise ForecastError(f"{rising} values rise with the threshold")
    return Probabilities(thresholds, np.where(seen_HW, found_NTHW, np.float32("nan")))


def threshold_index(thresholds_mmh: Sequence[float], wanted_mmh: float) -> int:
    """Which of a forecast's thresholds is meant.

    Raises:
        NoDataError: it has no such threshold, or no probabilities at all.
    """
    for index, known_mmh in enumerate(thresholds_mmh):
        if math.isclose(known_mmh, wanted_mmh, rel_tol=1e-6):
            return index
    if not thresholds_mmh:
        raise NoDataError(f"probability of {wanted_mmh:g} mm/h; this forecast has no probabilities")
    due = ", ".join(f"{known_mmh:g}" for known_mmh in thresholds_mmh)
    raise NoDataError(f"probability of {wanted_mmh:g} mm/h; one of {due} mm/h was due")


def with_probabilities(dataset: xr.Dataset, probabilities: Probabilities) -> xr.Dataset:
    """A `rate_dataset` with its probabilities beside the rate, packed as CF has it (chapter 8.1)."""
    found_NTHW = probabilities.probability_NTHW
    known_NTHW = np.isfinite(found_NTHW)
    packed_NTHW = np.where(known_NTHW, np.rint(np.where(known_NTHW, found_NTHW, 0) / STEP), UNKNOWN).astype(np.int16)
    said = {"long_name": "rain rate that is reached", "units": "mm h-1"}
    dataset = dataset.assign_coords({THRESHOLD: (THRESHOLD, np.array(probabilities.thresholds_mmh, np.float64), said)})
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
    """The probabilities of one of our own files; None where it has none."""
    with NETCDF_C, netCDF4.Dataset(path) as dataset:
        if VARIABLE not in dataset.variables:
            return None
        found = np.ma.filled(np.ma.asarray(dataset[VARIABLE][...], np.float32), np.float32("nan"))
        thresholds = tuple(float(f"{value:.6g}") for value in dataset[THRESHOLD][...])
    return Probabilities(thresholds, np.asarray(found, np.float32))
