"""DWD's RADKLIM in NetCDF: daily files of sums `RR` in mm on 1100 x 900 cells, without an interval of their own."""

from collections.abc import Mapping, Sequence
from datetime import datetime
from itertools import pairwise
from typing import Final

import xarray as xr

SHAPES: Final = ((1100, 900),)
VARIABLES: Final = ("RR", "YW", "RW")
PRODUCTS: Final[Mapping[int, str]] = {5: "YW", 60: "RW"}
"""Interval in minutes of each product: both hold the sum up to the time of the field, step after step."""


def radklim_product(ends: Sequence[datetime], amount: xr.DataArray) -> tuple[str, int] | None:
    """Return the product and the minutes of its sums, if an amount is one of RADKLIM's; else None.

    The step between the times is the interval, if it is that of a product and all times are multiples of it.
    """
    if amount.shape[-2:] not in SHAPES or str(amount.name).upper() not in VARIABLES or len(ends) < 2:
        return None
    steps_s = [(after - before).total_seconds() for before, after in pairwise(ends)]
    minutes = round(min(steps_s) / 60)
    if minutes not in PRODUCTS or any(step % (minutes * 60) for step in steps_s):
        return None
    return PRODUCTS[minutes], minutes
