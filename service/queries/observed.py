"""The radar frames of the last two hours, whole and at a place."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path
from typing import Final

import numpy as np

from core.errors import NoDataError
from core.frame import RadarFrame
from core.times import iso
from ingest.store.live import Scan, Store
from service.forecasts.held import HeldContents
from service.queries.point import Coverage

PERIOD: Final = timedelta(hours=2)
HELD_BYTES: Final = 160 * 2**20
"""Most memory of held frames: 25 of 1200 x 1100 cells. Larger grids are read anew for each request."""


@dataclass(frozen=True)
class ObservedSeries:
    """Observed rates at a place.

    Attributes:
        coverage: radar coverage in met.no's terms, of the newest frame.
        scans: ascending in time.
        rate_mmh: one for each; None is not observed.
    """

    coverage: Coverage
    scans: tuple[Scan, ...]
    rate_mmh: tuple[float | None, ...]


class HeldFrames:
    """The most recently read frames, up to a number of bytes; a frame whose scan was replaced is read again."""

    def __init__(self, most_bytes: int = HELD_BYTES) -> None:
        self._frames: HeldContents[tuple[Path, Scan], RadarFrame] = HeldContents(
            most_bytes, lambda frame: frame.rate_mmh_HW.nbytes
        )

    def read(self, store: Store, scan: Scan) -> RadarFrame:
        """Return the frame of a scan, read from its file at the first call.

        Raises:
            NoDataError: its file is missing or damaged.
        """
        return self._frames.read((store.home, scan), lambda: store.load(scan))


FRAMES: Final = HeldFrames()
"""The frames of this process."""


def recent_scans(store: Store) -> Sequence[Scan]:
    """Return the scans of the newest product over the last two hours, ascending in time.

    Raises:
        NoDataError: no scan is stored.
    """
    newest = store.latest()
    if newest is None:
        raise NoDataError("no scan is stored yet")
    return store.scans(product=newest.product, start=newest.valid_time - PERIOD, end=newest.valid_time)


def scan_at(store: Store, time: datetime | None) -> Scan:
    """Return the scan of the last two hours with a valid time; the newest one for None.

    Raises:
        NoDataError: there is none.
    """
    scans = recent_scans(store)
    found = [scan for scan in scans if time is None or scan.valid_time == time]
    if not found:
        known = ", ".join(iso(scan.valid_time) for scan in scans)
        raise NoDataError(f"time: expected one of {known}, got {iso(time) if time else None}")
    return found[-1]


def observed_series(store: Store, lat: float, lon: float) -> ObservedSeries:
    """Return the observed rates at a place; a frame that cannot be read is unknown.

    Raises:
        InputError: not a place on Earth.
        NoDataError: no scan is stored.
    """
    scans = recent_scans(store)
    rates = [_rate_mmh(store, scan, lat, lon) for scan in scans]
    some = any(rate is not None for rate in rates)
    coverage: Coverage = "ok" if rates[-1] is not None else "temporarily unavailable" if some else "no coverage"
    return ObservedSeries(coverage, tuple(scans), tuple(rates))


def _rate_mmh(store: Store, scan: Scan, lat: float, lon: float) -> float | None:
    try:
        frame = FRAMES.read(store, scan)
    except NoDataError:
        return None
    cell = frame.grid.cell_of(lat, lon)
    return float(frame.rate_mmh_HW[cell]) if cell and np.isfinite(frame.rate_mmh_HW[cell]) else None
