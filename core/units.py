"""Physical constants and conversions, each with its source."""

from dataclasses import dataclass
from typing import Any, Final, TypeVar

import numpy as np

from core.arrays import FloatField

ArrayT = TypeVar("ArrayT", bound=Any)

DRY_DBZ: Final = -32.5
"""Lowest value of DWD's RVP6 counts (count 0): no echo, so 0 mm/h (DWD, RADOLAN composite format, 8-bit products)."""

THRESHOLDS_MMH: Final = (0.1, 0.5, 1.0, 2.0, 5.0, 10.0, 30.0)
"""Rain-rate thresholds of every score: the paper's 0.5, 2, 5, 10, 30 plus 0.1 (the field's rain / no rain) and 1."""

MAIN_THRESHOLDS_MMH: Final = (0.5, 2.0, 5.0)
"""The thresholds of headline tables, of training's validation and of the fractions skill score."""

WET_MMH: Final = 0.1
"""A grid cell with at least this rate is wet in statistics (pysteps' and the field's rain / no rain)."""

WET_WINDOW_MMH: Final = 0.5
"""Windows for training and scoring are chosen by their share of grid cells with at least this rate."""

PAPER_PIXEL_M: Final = 900_000 / 124
"""Edge of a grid cell in the MS-RNN paper's Germany data: 900 km cut into 124 cells."""

CLIP_MMH: Final = 500.0
"""Largest plausible rain rate of a radar grid cell; world records over minutes are near 2,000 mm/h at a gauge."""

PIXEL_LOWER_DBZ: Final = -10.0
PIXEL_UPPER_DBZ: Final = 60.0
"""Reflectivities of the pixel values 0 and 1 (MS-RNN paper, section 5.1, Germany data)."""


@dataclass(frozen=True)
class ZRRelation:
    """Relation Z = a R^b with Z in mm^6 m^-3 and R in mm/h."""

    a: float
    b: float
    source: str

    def rate_mmh(self, reflectivity_dbz: FloatField) -> FloatField:
        """Return the rain rate of a reflectivity; NaN stays NaN, and `DRY_DBZ` and below is 0 mm/h."""
        rate_mmh = (10.0 ** (reflectivity_dbz / 10.0) / self.a) ** (1.0 / self.b)
        return np.where(reflectivity_dbz <= DRY_DBZ, 0.0, rate_mmh)

    def reflectivity_dbz(self, rate_mmh: FloatField) -> FloatField:
        """Return the reflectivity of a rain rate; 0 mm/h is minus infinity, NaN stays NaN."""
        with np.errstate(divide="ignore"):
            return 10.0 * np.log10(self.a * np.power(rate_mmh, self.b))


DWD_ZR: Final = ZRRelation(256.0, 1.42, "DWD, RADOLAN/RADVOR standard relation; the MS-RNN paper's Germany data")
MARSHALL_PALMER_ZR: Final = ZRRelation(200.0, 1.6, "Marshall and Palmer 1948, J. Meteor. 5, 165; KNMI, OPERA")
FMI_ZR: Final = ZRRelation(223.0, 1.53, "Finnish Meteorological Institute, as given by pysteps")
METEOSWISS_ZR: Final = ZRRelation(316.0, 1.5, "MeteoSwiss, as given by pysteps")
HKO_ZR: Final = ZRRelation(58.53, 1.56, "Hong Kong Observatory, Shi et al. 2017, arXiv:1706.03458")


def rate_from_depth(depth_mm: FloatField, interval_minutes: float) -> FloatField:
    """Return the mean rain rate in mm/h of a depth in mm that fell within an interval.

    Raises:
        ValueError: the interval is not positive.
    """
    if interval_minutes <= 0:
        raise ValueError(f"interval_minutes: expected a positive number, got {interval_minutes}")
    return depth_mm * (60.0 / interval_minutes)


def pixel_from_dbz(
    reflectivity_dbz: ArrayT, lower_dbz: float = PIXEL_LOWER_DBZ, upper_dbz: float = PIXEL_UPPER_DBZ
) -> ArrayT:
    """Return P = clip((dBZ + 10) / 70, 0, 1), the paper's pixel value of a reflectivity; NaN stays NaN.

    The argument is anything with arithmetic and `clip`: a NumPy array or a tensor, whose type the result has.
    """
    pixel: ArrayT = ((reflectivity_dbz - lower_dbz) / (upper_dbz - lower_dbz)).clip(0.0, 1.0)
    return pixel
