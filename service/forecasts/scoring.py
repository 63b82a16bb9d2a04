"""Scores of forecasts against uploaded observations, or against scans that followed."""

import logging
import math
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import replace
from datetime import datetime, timedelta
from time import monotonic
from typing import Final

import numpy as np

from core.arrays import BoolField, Float32Field
from core.errors import ConflictError
from core.frame import RadarFrame
from core.grid import Grid
from core.times import iso
from ingest.store.live import Store
from ingest.windows.window import observations_at
from service.forecasts.catalogue import Catalogue
from service.forecasts.healing import ForecastHealing
from service.forecasts.observed import SCAN_TOLERANCE, Observations, observed_leads
from service.forecasts.probabilities import read_probabilities
from service.forecasts.products import read_known, write_observations
from service.forecasts.records import StoredForecast, read_rate
from service.forecasts.scorebook import Scorebook, kept_counts, ranked
from service.telemetry.stages import stage
from verification.baselines import BASELINES
from verification.lead import Exceedance
from verification.table import SumRow
from verification.verify import compared_leads, sums_of

log = logging.getLogger(__name__)
AT_EVERY_LEAD: Final = ("counts", "rate-mae", "brier")
"""Families of sums that a lead of any minutes has."""

OTHERS_EVERY_MINUTES: Final = 15
"""Leads that are multiples of it have every score: the others take four times as long and ten times the rows."""


class Scoring:
    """Finds the observations of forecasts and scores these, one lead after the other."""

    def __init__(
        self,
        store: Store,
        catalogue: Catalogue,
        thresholds_mmh: Sequence[float],
        fss_windows_km: Sequence[float] = (),
    ) -> None:
        self._observations = Observations(store)
        self._fss_windows_km = tuple(fss_windows_km)
        self._catalogue = catalogue
        self._healing = ForecastHealing(catalogue)
        self._thresholds_mmh = tuple(thresholds_mmh)
        self.book = Scorebook(catalogue.engine)

    def keep_observations(self, forecast: StoredForecast, frames: Sequence[RadarFrame]) -> None:
        """Write the frames that followed an upload, on the forecast's grid at its leads."""
        tolerance_minutes = SCAN_TOLERANCE / timedelta(minutes=1)
        observed_THW = observations_at(frames, forecast.grid, forecast.valid_times, tolerance_minutes)
        write_observations(forecast, lambda lead: observed_THW[lead], ["upload"])

    def this_forecast(self, forecast: StoredForecast) -> list[SumRow]:
        """Return the counts of one forecast and its baselines, of both masks, for the observed leads; may be empty."""
        if forecast.origin == "scans" and not self._observations.keep(forecast):
            return []
        together = self._with_baselines(forecast)
        return kept_counts(forecast, together, self._thresholds_mmh, lambda: ranked(self._counts(together, forecast)))

    def _counts(self, together: Mapping[str, StoredForecast], forecast: StoredForecast) -> list[SumRow]:
        rows = []
        for lead, observed_HW in observed_leads(forecast):
            if np.isfinite(observed_HW).any():
                rows += self._sums(together, lead, observed_HW, ("counts",))
        return rows

    def verify_observed(
        self,
        within_s: float = math.inf,
        since: datetime | None = None,
        *,
        skip: Collection[str] = (),
        gives_way: Callable[[], bool] = lambda: False,
    ) -> int:
        """Score every lead whose scan is stored by now, oldest first; return the number of new counts.

        Args:
            within_s: no further window is begun after this time; at least one is scored, and the next call continues.
            since: windows with an earlier reference time are not scored any more.
            skip: windows, by their `inputs_sha256`, that are not scored yet.
            gives_way: looked up after each scored window: True ends the call, too.
        """
        ends_at, new = monotonic() + within_s, 0
        for inputs_sha256 in self.book.unscored_inputs(since):
            if inputs_sha256 in skip:
                continue
            found = self._verify_alone(inputs_sha256)
            new += found
            if new and (monotonic() >= ends_at or (found and gives_way())):
                break
        return new

    def _verify_alone(self, inputs_sha256: str) -> int:
        """Score one window; a file of it that cannot be read is set aside and keeps no other window waiting."""
        new = 0
        with self._healing.passing_over(f"window {inputs_sha256[:12]}"), stage("verify"):
            new += self._verify(inputs_sha256)
        return new

    def _verify(self, inputs_sha256: str) -> int:
        by_leads: dict[tuple[int, ...], dict[str, StoredForecast]] = {}
        for forecast in self._catalogue.select(inputs_sha256=inputs_sha256, origin="scans", replaced=False):
            if forecast.has_file:
                by_leads.setdefault(forecast.lead_minutes, {})[forecast.id] = forecast
            else:
                self._healing.lose(forecast)
        return sum(self._verify_together(forecasts) for forecasts in by_leads.values())

    def _verify_together(self, forecasts: Mapping[str, StoredForecast]) -> int:
        """Score the forecasts of one window, all on the same grid cells."""
        one = next(iter(forecasts.values()))
        scored = [self.book.scored_leads(forecast) for forecast in forecasts.values()]
        scans = self._observations.scans(one)
        unscored = {i: scan for i, scan in scans.items() if any(one.lead_minutes[i] not in done for done in scored)}
        rows = []
        for lead, observed_HW in self._observations.fields(one, unscored):
            rows += self._sums(forecasts, lead, observed_HW, scores_at(one.lead_minutes[lead]))
        return self.book.enter(forecasts, rows) if rows else 0

    def _sums(
        self,
        forecasts: Mapping[str, StoredForecast],
        lead: int,
        observed_HW: Float32Field,
        only: Sequence[str] | None,
    ) -> list[SumRow]:
        """Score one lead, given by its index, of which alone is read; rows are labelled by the keys of the mapping."""
        one = next(iter(forecasts.values()))
        rates = {label: read_rate(forecast.path, [lead]) for label, forecast in forecasts.items()}
        compared = compared_leads(
            rates,
            observed_HW[None],
            [one.lead_minutes[lead]],
            covered_HW=_covered(forecasts, rates),
            filled=[label for label, forecast in forecasts.items() if forecast.model in BASELINES],
            known_THW=_known(forecasts, lead),
            exceedance={} if only == ("counts",) else _exceedance(forecasts, lead),
            pixel_m=one.grid.pixel_m,
        )
        rows = sums_of(compared, self._thresholds_mmh, self._fss_windows_km, only=only)
        return [replace(row, version=forecasts[row.model].version) for row in rows]

    def _with_baselines(self, forecast: StoredForecast) -> dict[str, StoredForecast]:
        """Return the forecast and the baselines of its window, by model."""
        found = self._catalogue.select(inputs_sha256=forecast.inputs_sha256, origin=forecast.origin)
        alike = {one.model: one for one in found if one.lead_minutes == forecast.lead_minutes and one.has_file}
        return {forecast.model: forecast} | {name: alike[name] for name in BASELINES if name in alike}


def scores_at(lead_minutes: int) -> tuple[str, ...] | None:
    """Return the families of sums that are stored of a lead; None is every one."""
    return None if lead_minutes % OTHERS_EVERY_MINUTES == 0 else AT_EVERY_LEAD


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


def _known(forecasts: Mapping[str, StoredForecast], lead: int) -> BoolField | None:
    """Return where the forecasts of a window rest on an observation: one mask, so that all have the same cells.

    It is that of extrapolation, as in an evaluation: a further model changes no count of the others. Without it, it is
    where the masks of all others agree; persistence has no motion to trace. None if no file has the mask.
    """
    traced = [forecast for forecast in forecasts.values() if forecast.model != BASELINES[0]]
    neutral = [forecast for forecast in traced if forecast.model == BASELINES[-1]]
    masks = [read_known(forecast.path, [lead]) for forecast in neutral]
    if not any(known_LHW is not None for known_LHW in masks):
        masks = [read_known(forecast.path, [lead]) for forecast in traced]
    found = [known_LHW for known_LHW in masks if known_LHW is not None]
    return np.asarray(np.all(found, axis=0), np.bool_) if found else None


def _exceedance(forecasts: Mapping[str, StoredForecast], lead: int) -> dict[str, list[Exceedance]]:
    """Return the probabilities of a lead by label, of the forecasts that have them."""
    found = {}
    for label, forecast in forecasts.items():
        stored = read_probabilities(forecast.path, [lead])
        if stored is not None:
            found[label] = [Exceedance(stored.thresholds_mmh, stored.probability_NTHW[:, 0])]
    return found
