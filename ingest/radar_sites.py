"""The weather radars of Deutscher Wetterdienst: which grid cells they cover, and which of them a composite lacks."""

from collections.abc import Iterable, Mapping
from datetime import UTC, datetime
from functools import lru_cache
from typing import Final

import numpy as np
from numpy.typing import NDArray

from core.grid import METRES_PER_DEGREE, Grid

DWD_CREDIT: Final = "Deutscher Wetterdienst (CC BY 4.0)"
"""Whose data RADOLAN files are, which name no owner, with the licence of DWD's open data."""

DWD_RADARS: Final[Mapping[str, tuple[float, float]]] = {
    "asb": (53.564129, 6.748317),
    "boo": (54.004381, 10.046899),
    "ros": (54.175660, 12.058076),
    "hnr": (52.460083, 9.694533),
    "umd": (52.160096, 11.176091),
    "pro": (52.648667, 13.858212),
    "ess": (51.405649, 6.967111),
    "fld": (51.311197, 8.801998),
    "drs": (51.124639, 13.768639),
    "neu": (50.500114, 11.135034),
    "nhb": (50.109656, 6.548328),
    "oft": (49.984745, 8.712933),
    "eis": (49.540667, 12.402788),
    "tur": (48.585379, 9.782675),
    "isn": (48.174705, 12.101779),
    "fbg": (47.873611, 8.003611),
    "mem": (48.042145, 10.219222),
}
"""Latitude and longitude by site, in the order of the composites' headers. Source: DWD (the network since 2018)."""

NETWORK_SINCE: Final = datetime(2020, 1, 1, tzinfo=UTC)
"""Real files list these 17 sites since then (in 2017 `emd` stood for `asb`, in 2014 there were 15)."""

RANGE_M: Final = 150_000.0
"""Range of the precipitation scan that the national composites are made of."""


@lru_cache(maxsize=16)
def coverage_HW(grid: Grid, radars: tuple[str, ...] = tuple(DWD_RADARS), range_m: float = RANGE_M) -> NDArray[np.bool_]:
    """Return the cells within range of at least one of the radars (great circle); read-only, since it is cached.

    Raises:
        KeyError: a site that is not in the table.
    """
    lon_HW, lat_HW = (np.radians(degrees_HW) for degrees_HW in grid.lon_lat_HW())
    covered_HW = np.zeros(grid.shape, np.bool_)
    for site in radars:
        lat, lon = np.radians(DWD_RADARS[site])
        cosine_HW = np.sin(lat) * np.sin(lat_HW) + np.cos(lat) * np.cos(lat_HW) * np.cos(lon_HW - lon)
        covered_HW |= cosine_HW >= np.cos(np.radians(range_m / METRES_PER_DEGREE))
    covered_HW.flags.writeable = False
    return covered_HW


def dwd_site(name: str) -> str:
    """Return the three letters of a site: `deasb` and `ASB` are both `asb`."""
    site = name.strip(" '\"<>").lower()
    return site[2:] if len(site) == 5 and site.startswith("de") else site


def missing_dwd_radars(listed: Iterable[str], valid_time: datetime) -> tuple[str, ...]:
    """Return the sites of the network that a file's own list lacks; none for an empty list or an older file."""
    sites = {site for name in listed if (site := dwd_site(name))}
    if not sites or valid_time < NETWORK_SINCE:
        return ()
    return tuple(sorted(DWD_RADARS.keys() - sites))
