"""Probabilities of a forecast file, where it has any: `probability_of_exceedance(threshold, time, y, x)`."""

from dataclasses import dataclass
from pathlib import Path
from typing import Final

import netCDF4
import numpy as np
from numpy.typing import NDArray

from core.cf import NETCDF_C

VARIABLE: Final = "probability_of_exceedance"
THRESHOLD: Final = "threshold"


@dataclass(frozen=True)
class Probabilities:
    """Probability that the rate reaches each threshold (mm/h); NaN is no data.

    Attributes:
        probability_NTHW: by threshold and lead.
    """

    thresholds_mmh: tuple[float, ...]
    probability_NTHW: NDArray[np.float32]


def read_probabilities(path: Path) -> Probabilities | None:
    """The probabilities of one of our own files; None where it has none."""
    with NETCDF_C, netCDF4.Dataset(path) as dataset:
        if VARIABLE not in dataset.variables:
            return None
        found = np.ma.filled(np.ma.asarray(dataset[VARIABLE][...], np.float32), np.float32("nan"))
        thresholds = tuple(float(f"{value:.6g}") for value in dataset[THRESHOLD][...])
    return Probabilities(thresholds, np.asarray(found, np.float32))
