"""Scores of forecasts against uploaded observations, or against scans that followed."""

import json
import logging
import math
from collections.abc import Collection, Mapping, Sequence
from dataclasses import replace
from datetime import datetime, timedelta
from time import monotonic
from typing import Final

import numpy as np

from core.arrays import BoolField, Float32Field
from core.cf import RATE
from core.errors import ConflictError, NoDataError
from core.frame import RadarFrame
from core.grid import Grid
from core.times import iso
from ingest.store.live import Scan, Store
from ingest.windows.regrid import onto
from ingest.windows.window import observations_at
from service.forecasts.catalogue import Catalogue
from service.forecasts.netcdf import read_attributes, read_variable
from service.forecasts.probabilities import read_probabilities
from service.forecasts.products import read_known, write_observations
from service.forecasts.records import StoredForecast
from service.forecasts.scorebook import Scorebook, ranked
from verification.baselines import BASELINES
from verification.lead import Exceedance
from verification.table import SumRow
from verification.verify import compared_leads, sums_of

log = logging.getLogger(__name__)
SCAN_TOLERANCE: Final = timedelta(minutes=2.5)
"""A scan at most this far from a lead's valid time is its observation: half of the radar's own cadence."""


class Scoring:
    """Finds the observations of forecasts and scores these; keeps nothing in memory."""

    def __init__(
        self,
        store: Store,
        catalogue: Catalogue,
        thresholds_mmh: Sequence[float],
        fss_windows_km: Sequence[float] = (),
    ) -> None:
        self._store = store
        self._fss_windows_km = tuple(fss_windows_km)
        self._catalogue = catalogue
        self._thresholds_mmh = tuple(thresholds_mmh)
        self.book = Scorebook(catalogue.engine)

    def keep_observations(self, forecast: StoredForecast, frames: Sequence[RadarFrame]) -> None:
        """Write the frames that followed an upload, on the forecast's grid at its leads."""
        tolerance_minutes = SCAN_TOLERANCE / timedelta(minutes=1)
        observed_THW = observations_at(frames, forecast.grid, forecast.valid_times, tolerance_minutes)
        write_observations(forecast, observed_THW, ["upload"])

    def this_forecast(self, forecast: StoredForecast) -> list[SumRow]:
        """Return the counts of one forecast and its baselines, of both masks, for the observed leads; may be empty."""
        observed_THW = self._uploaded(forecast) if forecast.origin == "upload" else self._stored(forecast)
        if observed_THW is None:
            return []
        leads = [index for index, field_HW in enumerate(observed_THW) if np.isfinite(field_HW).any()]
        return ranked(self._sums(self._with_baselines(forecast), observed_THW[leads], leads, only=("counts",)))

    def verify_observed(
        self, within_s: float = math.inf, since: datetime | None = None, *, skip: Collection[str] = ()
    ) -> int:
        """Score every lead whose scan is stored by now, oldest first; return the number of new counts.

        Args:
            within_s: no further window is begun after this time; at least one is scored, and the next call continues.
            since: windows with an earlier reference time are not scored any more.
            skip: windows, by their `inputs_sha256`, that are not scored yet.
        """
        ends_at, new = monotonic() + within_s, 0
        for inputs_sha256 in self.book.unscored_inputs(since):
            if inputs_sha256 in skip:
                continue
            new += self._verify(inputs_sha256)
            if new and monotonic() >= ends_at:
                break
        return new

    def _verify(self, inputs_sha256: str) -> int:
        by_leads: dict[tuple[int, ...], dict[str, StoredForecast]] = {}
        for forecast in self._catalogue.select(inputs_sha256=inputs_sha256, origin="scans", replaced=False):
            if forecast.path.is_file():
                by_leads.setdefault(forecast.lead_minutes, {})[forecast.id] = forecast
        return sum(self._verify_together(forecasts) for forecasts in by_leads.values())

    def _verify_together(self, forecasts: Mapping[str, StoredForecast]) -> int:
        """Score the forecasts of one window, all on the same grid cells."""
        one = next(iter(forecasts.values()))
        scored = [self.book.scored_leads(forecast) for forecast in forecasts.values()]
        scans = self._scans(one)
        unscored = {i: scan for i, scan in scans.items() if any(one.lead_minutes[i] not in done for done in scored)}
        fields = self._fields(one, unscored)
        if not fields:
            return 0
        observed_LHW, leads = np.stack([*fields.values()]), list(fields)
        return self.book.enter(forecasts, self._sums(forecasts, observed_LHW, leads))

    def _sums(
        self,
        forecasts: Mapping[str, StoredForecast],
        observed_LHW: Float32Field,
        leads: Sequence[int],
        only: Sequence[str] | None = None,
    ) -> list[SumRow]:
        """Score some leads, given by their index; rows are labelled by the keys of the mapping."""
        one, some = next(iter(forecasts.values())), list(leads)
        rates = {label: forecast.rate_mmh_THW[some] for label, forecast in forecasts.items()}
        wants_probabilities = only is None
        compared = compared_leads(
            rates,
            observed_LHW,
            [one.lead_minutes[index] for index in leads],
            covered_HW=_covered(forecasts, rates),
            filled=[label for label, forecast in forecasts.items() if forecast.model in BASELINES],
            known_THW=_known(forecasts, some),
            exceedance=_exceedance(forecasts, some) if wants_probabilities else {},
            pixel_m=one.grid.pixel_m,
        )
        rows = sums_of(compared, self._thresholds_mmh, self._fss_windows_km, only=only)
        return [replace(row, version=forecasts[row.model].version) for row in rows]

    def _with_baselines(self, forecast: StoredForecast) -> dict[str, StoredForecast]:
        """Return the forecast and the baselines of its window, by model."""
        found = self._catalogue.select(inputs_sha256=forecast.inputs_sha256, origin=forecast.origin)
        alike = {one.model: one for one in found if one.lead_minutes == forecast.lead_minutes and one.path.is_file()}
        return {forecast.model: forecast} | {name: alike[name] for name in BASELINES if name in alike}

    def _uploaded(self, forecast: StoredForecast) -> Float32Field | None:
        path = forecast.observations_path
        return None if path is None else np.asarray(read_variable(path, RATE), np.float32)

    def _stored(self, forecast: StoredForecast) -> Float32Field | None:
        """Return the scans of the leads; kept in a file next to the forecast, rewritten when more are stored."""
        scans = self._scans(forecast)
        sources = [scans[i].sha256 if i in scans else None for i in range(len(forecast.lead_minutes))]
        path = forecast.observations_path
        if path is not None and (not scans or json.loads(read_attributes(path)["sources"]) == sources):
            return np.asarray(read_variable(path, RATE), np.float32)
        fields = self._fields(forecast, scans)
        if not fields:
            return None
        observed_THW = np.full((len(sources), *forecast.grid.shape), np.nan, np.float32)
        for index, field_HW in fields.items():
            observed_THW[index] = field_HW
        write_observations(forecast, observed_THW, [s if i in fields else None for i, s in enumerate(sources)])
        return observed_THW

    def _scans(self, forecast: StoredForecast) -> dict[int, Scan]:
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

    def _fields(self, forecast: StoredForecast, scans: Mapping[int, Scan]) -> dict[int, Float32Field]:
        """Return scans on the forecast's grid; a scan whose file is missing is left out."""
        fields = {}
        for index, scan in scans.items():
            try:
                frame = self._store.load(scan)
            except NoDataError as err:
                log.warning("not an observation: %s", err)
                continue
            fields[index] = onto(frame.rate_mmh_HW[None], frame.grid, forecast.grid)[0]
        return fields


def check_observations(grid: Grid, leads: Sequence[datetime], observations: Sequence[RadarFrame]) -> None:
    """Raise ConflictError where observations are forecasts, not on the frames' grid, or none is near a lead."""
    for frame in observations:
        if frame.is_forecast:
            raise ConflictError(
                f"expected observed frames, got a forecast of {frame.product} for {iso(frame.valid_time)}, "
                f"{frame.lead_minutes} minutes ahead"
            )
        if not frame.grid.same_place(grid):
            raise ConflictError(
                f"expected one grid in a request, got two: frames on {grid.height} x {grid.width} {grid.name}, the "
                f"observation of {iso(frame.valid_time)} on {frame.grid.height} x {frame.grid.width} {frame.grid.name}"
            )
    near = any(abs(frame.valid_time - lead) <= SCAN_TOLERANCE for frame in observations for lead in leads)
    if observations and not near:
        times = sorted(frame.valid_time for frame in observations)
        raise ConflictError(
            f"expected observations of one of the leads {', '.join(map(iso, leads))}, got {', '.join(map(iso, times))}"
        )


def _covered(forecasts: Mapping[str, StoredForecast], rates: Mapping[str, Float32Field]) -> BoolField | None:
    """Return where the newest scan of the window has a value, taken from persistence; None without persistence."""
    for label, forecast in forecasts.items():
        if forecast.model == BASELINES[0]:
            return np.asarray(np.isfinite(rates[label][0]), np.bool_)
    return None


def _known(forecasts: Mapping[str, StoredForecast], leads: Sequence[int]) -> BoolField | None:
    """Return where the forecasts of a window rest on an observation: one mask, so that all have the same cells.

    It is that of extrapolation, as in an evaluation: a further model changes no count of the others. Without it, it is
    where the masks of all others agree; persistence has no motion to trace. None if no file has the mask.
    """
    traced = [forecast for forecast in forecasts.values() if forecast.model != BASELINES[0]]
    neutral = [forecast for forecast in traced if forecast.model == BASELINES[-1]]
    masks = [read_known(forecast.path) for forecast in neutral]
    if not any(known_LHW is not None for known_LHW in masks):
        masks = [read_known(forecast.path) for forecast in traced]
    found = [known_LHW[leads] for known_LHW in masks if known_LHW is not None]
    return np.asarray(np.all(found, axis=0), np.bool_) if found else None


def _exceedance(forecasts: Mapping[str, StoredForecast], leads: Sequence[int]) -> dict[str, list[Exceedance]]:
    """Return the probabilities by label, one field per lead, of the forecasts that have them."""
    found = {}
    for label, forecast in forecasts.items():
        stored = read_probabilities(forecast.path)
        if stored is not None:
            found[label] = [Exceedance(stored.thresholds_mmh, stored.probability_NTHW[:, lead]) for lead in leads]
    return found
