"""Exceedance probabilities in files: one variable a threshold, in bytes of 0.005 (CF, chapter 8.1)."""

from collections.abc import Mapping
from functools import lru_cache
from typing import Any, Final

import numpy as np
import xarray as xr
from numpy.typing import NDArray

from core.arrays import Float32Field

PREFIX: Final = "exceedance_probability_"
THRESHOLD_ATTRIBUTE: Final = "threshold_mmh"

PROBABILITY_STEP: Final = 0.005
PROBABILITY_FILL: Final = np.uint8(255)
PROBABILITY_ERROR: Final = 0.0275
"""Largest error of a packed probability."""

CODES_APART: Final = ((2, 20, 2), (20, 40, 4), (40, 160, 10), (160, 180, 4), (180, 200, 2))
"""First code, last code, and how far apart the kept ones between them are."""


def variable_name(threshold_mmh: float) -> str:
    """Return the name of the variable of a threshold: `exceedance_probability_0p5` is that of 0.5 mm/h."""
    return f"{PREFIX}{threshold_mmh:g}".replace(".", "p")


def threshold_of(name: str) -> float:
    """Return the threshold of a variable by its name: 0.5 of `exceedance_probability_0p5`."""
    return float(name.removeprefix(PREFIX).replace("p", "."))


def probability_attributes(threshold_mmh: float) -> dict[str, Any]:
    """Return the attributes of the variable of a threshold, without the fill value."""
    return {
        "long_name": f"probability that the rain rate is at or above {threshold_mmh:g} mm h-1",
        "comment": "of the rate of one cell at the valid time itself, not of any rain within an area or a period",
        "units": "1",
        THRESHOLD_ATTRIBUTE: float(threshold_mmh),
        "grid_mapping": "crs",
        "ancillary_variables": "coverage",
        "valid_range": np.array([0, round(1 / PROBABILITY_STEP)], np.uint8),
        "scale_factor": PROBABILITY_STEP,
    }


def with_probability_codes(dataset: xr.Dataset, codes_LHW: Mapping[float, NDArray[np.uint8]]) -> xr.Dataset:
    """Add the variables of all thresholds to a `core.cf.rate_dataset`.

    Args:
        dataset: with the same leads and cells.
        codes_LHW: by threshold in mm/h, of `probability_codes`.
    """
    for mmh, found_LHW in codes_LHW.items():
        attributes = {**probability_attributes(mmh), "_FillValue": PROBABILITY_FILL}
        encoding = {"zlib": True, "complevel": 4, "shuffle": False, "chunksizes": (1, *found_LHW.shape[1:])}
        dataset[variable_name(mmh)] = (("time", "y", "x"), found_LHW, attributes, encoding)
    return dataset


def probability_codes(probability_HW: Float32Field) -> NDArray[np.uint8]:
    """Return probabilities in units of 0.005, with the precision of `_kept_codes`; NaN is no data."""
    steps_HW = np.rint(probability_HW * np.float32(1 / PROBABILITY_STEP))
    return _kept_codes()[np.where(np.isnan(steps_HW), PROBABILITY_FILL, steps_HW).astype(np.uint8)]


@lru_cache(maxsize=1)
def _kept_codes() -> NDArray[np.uint8]:
    """Return which code of a probability is kept for each code (decision 0077).

    Steps are 0.01 up to 0.1 and from 0.9, 0.02 to 0.2 and from 0.8, and 0.05 between. That is below what a calibration
    can tell apart, and the files of wet windows are a quarter smaller.
    """
    kept = np.arange(256, dtype=np.uint8)
    for first, last, apart in CODES_APART:
        codes = np.arange(first, last + 1)
        kept[codes] = np.rint(codes / apart) * apart
    kept.setflags(write=False)
    return kept
