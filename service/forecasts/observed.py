"""Observations at the leads of forecasts: the scan of each lead, put on a forecast's grid once."""

import json
import logging
import threading
from collections import OrderedDict
from collections.abc import Iterator, Mapping
from datetime import timedelta
from typing import Final

import numpy as np

from core.arrays import Float32Field
from core.errors import NoDataError
from core.shared_files import is_stored
from core.times import iso
from ingest.store.live import Scan, Store
from ingest.windows.regrid import onto
from service.forecasts.image import image_png, visible_scale
from service.forecasts.netcdf import read_attributes
from service.forecasts.products import lead_index, write_observations
from service.forecasts.records import StoredForecast, read_rate

log = logging.getLogger(__name__)

SCAN_TOLERANCE: Final = timedelta(minutes=2.5)
"""A scan at most this far from a lead's valid time is its observation: half of the radar's own cadence."""

HELD_FIELDS: Final = 12
"""Scans on a grid that stay in memory: one scan verifies a lead of every forecast of the last hours."""


class Observations:
    """Scans that verify forecasts; safe to share between threads."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self._held: OrderedDict[tuple[str, str], Float32Field] = OrderedDict()
        self._lock = threading.Lock()

    def scans(self, forecast: StoredForecast) -> dict[int, Scan]:
        """Return the scan of each lead that has one, by the lead's index."""
        times = forecast.valid_times
        scans = self._store.scans(
            product=forecast.product, start=times[0] - SCAN_TOLERANCE, end=times[-1] + SCAN_TOLERANCE
        )
        found: dict[int, Scan] = {}
        for index, time in enumerate(times):
            off = [(abs(scan.valid_time - time), number) for number, scan in enumerate(scans)]
            if off and min(off)[0] <= SCAN_TOLERANCE:
                found[index] = scans[min(off)[1]]
        return found

    def field(self, forecast: StoredForecast, scan: Scan) -> Float32Field | None:
        """Return a scan on the forecast's grid; None if its file is missing."""
        key = (scan.sha256, forecast.grid.key)
        with self._lock:
            held = self._held.get(key)
        if held is not None:
            return held
        field_HW = self._load(forecast, scan)
        if field_HW is not None:  # a missing file may be there at the next call
            with self._lock:
                self._held[key] = field_HW
                while len(self._held) > HELD_FIELDS:
                    self._held.popitem(last=False)
        return field_HW

    def _load(self, forecast: StoredForecast, scan: Scan) -> Float32Field | None:
        try:
            frame = self._store.load(scan)
        except NoDataError as err:
            log.warning("not an observation: %s", err)
            return None
        return np.asarray(onto(frame.rate_mmh_HW[None], frame.grid, forecast.grid)[0], np.float32)

    def fields(self, forecast: StoredForecast, scans: Mapping[int, Scan]) -> Iterator[tuple[int, Float32Field]]:
        """Yield the observed leads, by their index, with the field of each."""
        for index, scan in scans.items():
            field_HW = self.field(forecast, scan)
            if field_HW is not None:
                yield index, field_HW

    def keep(self, forecast: StoredForecast) -> list[str | None]:
        """Write the scans of the leads to a file next to the forecast, anew when more are stored.

        The file of a forecast some of whose scans are deleted by now stays as it is.

        Returns:
            the hash of the scan of each lead; None where there is none, and an empty list without any.
        """
        scans = {index: scan for index, scan in self.scans(forecast).items() if is_stored(scan.path)}
        sources = [scans[i].sha256 if i in scans else None for i in range(len(forecast.lead_minutes))]
        path = forecast.observations_path
        if path is not None:
            kept: list[str | None] = json.loads(read_attributes(path)["sources"])
            if kept == sources or any(before and not now for before, now in zip(kept, sources, strict=True)):
                return kept
        if not scans:
            return []
        write_observations(forecast, lambda lead: self.field(forecast, scans[lead]) if lead in scans else None, sources)
        return sources


def observation_png(store: Store, forecast: StoredForecast, lead_minutes: int) -> bytes:
    """Draw what was observed at a lead of a forecast, on its grid: from its file of observations, or from the scan.

    Raises:
        NoDataError: the forecast has no such lead, or no scan of that time is stored (yet).
    """
    lead = lead_index(forecast, lead_minutes)
    path, found_HW = forecast.observations_path, None
    if path is not None:
        found_HW = read_rate(path, [lead])[0]
    if found_HW is None or not np.isfinite(found_HW).any():
        observations = Observations(store)
        scan = observations.scans(forecast).get(lead)
        found_HW = None if scan is None else observations.field(forecast, scan)
    if found_HW is None:
        raise NoDataError(f"no scan of {forecast.product} at {iso(forecast.valid_times[lead])} is stored (yet)")
    return image_png(found_HW, scale=visible_scale(forecast.grid.shape))


def observed_leads(forecast: StoredForecast) -> Iterator[tuple[int, Float32Field]]:
    """Yield the leads of the forecast's file of observations, by their index, with the field of each."""
    path = forecast.observations_path
    for index in range(0 if path is None else len(forecast.lead_minutes)):
        assert path is not None
        yield index, read_rate(path, [index])[0]
