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
PROBABILITY_ERROR: Final = 0.0125
"""Largest error of a packed probability; 0.0025 below 0.1 and above 0.9."""


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
    """Return which code of a probability is kept for each code: every fourth from 0.1 to 0.9, and every one outside.

    Between 0.1 and 0.9 a step of 0.02 is far below what a calibration can tell apart, and files are a third smaller.
    """
    codes = np.arange(256)
    kept = np.where((codes >= 20) & (codes <= 180), np.rint(codes / 4) * 4, codes).astype(np.uint8)
    kept.setflags(write=False)
    return kept
