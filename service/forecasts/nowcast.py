"""The use case: from a window of radar frames to a stored, scored forecast. Plain functions, no web and no queue."""

import math
from collections.abc import Callable, Sequence
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Final, Self

from core.errors import NoDataError
from core.frame import RadarFrame
from core.mounts import mount_files
from core.settings import Settings
from core.times import iso, utc_now
from ingest.plausibility import field_notes
from ingest.store.live import Store
from ingest.windows.choice import TOLERANCE_MINUTES
from ingest.windows.window import Window
from service.forecasts.backfill import BaselineBackfill, LostInputs
from service.forecasts.catalogue import Catalogue
from service.forecasts.healing import ForecastHealing
from service.forecasts.maker import Maker
from service.forecasts.periods import Period, counts_over
from service.forecasts.records import Origin
from service.forecasts.records import StoredForecast as StoredForecast
from service.forecasts.records import Verification as Verification
from service.forecasts.rollup import HOURS_AFTER, roll_up
from service.forecasts.schedule import TIMES_KEPT, ForecastSchedule
from service.forecasts.scorebook import Scorebook
from service.forecasts.scoring import Scoring, check_observations
from service.forecasts.setting_checks import SettingChecks
from service.forecasts.statement import Statement
from service.inference.inputs import Windows, noted
from service.inference.leads import LeadPolicy
from service.inference.predictor import Predictor
from service.inference.registry import ModelRegistry
from service.telemetry.stages import stage
from verification.baselines import BASELINES
from verification.table import Mask, SumRow, of_family, pooled

Clock = Callable[[], datetime]

INVENTED_CELLS_M: Final = 2000.0
"""Edge of the forecast's cells over invented weather, a quarter of the cells of its scans: with two cores the first
forecast of a trial is then there within a minute. The page says so, and `NOWCAST_GRID_M` changes it."""

LOOKED_AT: Final = 5
"""Newest forecasts among which one with a file is found."""

NEAR: Final = timedelta(minutes=TOLERANCE_MINUTES)


def _with_notes(forecast: StoredForecast, window: Window) -> StoredForecast:
    """Return a forecast with all notes of its window; another file with the same fields may have made it before."""
    more = tuple(note for note in window.notes if note not in forecast.notes)
    if not more:
        return forecast
    status = "degraded" if window.status == "degraded" else forecast.status
    return replace(forecast, notes=(*forecast.notes, *more), status=status)


class NowcastService:
    """Computes, stores, finds and scores forecasts; safe to share between threads and to run in several processes."""

    def __init__(
        self,
        settings: Settings,
        store: Store,
        catalogue: Catalogue,
        predictor: Predictor,
        clock: Clock = utc_now,
        *,
        registry: ModelRegistry | None = None,
    ) -> None:
        self.settings, self.predictor, self._clock = settings, predictor, clock
        self.store, self.catalogue = store, catalogue
        self.registry = registry or ModelRegistry(settings.home, also=[settings.model])
        coarse_m = INVENTED_CELLS_M if settings.invented else None
        self._windows = Windows(
            store, predictor, settings.model, LeadPolicy.of(settings), settings.grid_m, stored_cells_m=coarse_m
        )
        stated, also = Statement.of(settings), settings.write_source_grid
        self._maker = Maker(catalogue, predictor, clock, stated, write_source_grid=also)
        self.healing = ForecastHealing(catalogue)
        lost = LostInputs(catalogue, self._windows, predictor)
        self.baselines = BaselineBackfill(catalogue, self._maker, lost.from_scans)
        self.schedule = ForecastSchedule(settings, store, catalogue.engine, self.now)
        self.setting_checks = SettingChecks(settings, store, predictor, self.schedule)
        self._scoring = Scoring(store, catalogue, settings.thresholds_mmh, settings.fss_windows_km)

    @classmethod
    def from_settings(cls, settings: Settings) -> Self:
        """Open the service on the live store of the settings; models are loaded at their first use."""
        mount_files(settings)
        store = Store(settings.home, settings.catalogue_url, ahead=timedelta(seconds=settings.ahead_max_s))
        registry = ModelRegistry(settings.home, also=[settings.model])
        predictor = Predictor.from_settings(settings, registry)
        return cls(settings, store, Catalogue(settings.home, settings.catalogue_url), predictor, registry=registry)

    def forecast_stored(
        self,
        reference_time: datetime | None = None,
        model: str = "default",
        *,
        scheduled: bool = False,
        with_baselines: bool = True,
    ) -> StoredForecast:
        """Return the forecast from stored scans, computed at the first call with both baselines of the same window.

        Args:
            reference_time: of a scan; the nearest one within 5 minutes counts, with its own time. None is the newest.
            model: "default" or a name of `models.load_forecaster`.
            scheduled: a forecast of the schedule: refused where its data are older than `refuse_after_s`.
            with_baselines: wait for the baselines too; False leaves them to `baselines.schedule`.

        Raises:
            NoDataError: no scan, or none of that time; or scheduled and too old.
            ConflictError: the scans make no window; the message names the missing times.
            UnknownNameError: no such model.
        """
        reference_time = self._scan_time(reference_time)
        if scheduled and (refusal := self.schedule.refusal_of(reference_time)):
            raise NoDataError(refusal.reason)
        choice = self.predictor.choose(model)
        with stage("window"):
            inputs = self._windows.stored(reference_time, choice.reference)
        forecast = self._maker.make(inputs, choice, "scans")
        if scheduled:
            self.schedule.mark(forecast)
        if with_baselines:
            self._maker.make_baselines(inputs, "scans")
        return self._aged(forecast)

    def forecast_upload(
        self,
        frames: Sequence[RadarFrame],
        observations: Sequence[RadarFrame] = (),
        model: str = "default",
        *,
        notes: Sequence[str] = (),
    ) -> StoredForecast:
        """Return the forecast from a user's frames; `observations` are later frames, kept for `verification_of`.

        `notes` on how the frames were read are part of the forecast's own, and so are those on implausible fields.

        Raises:
            ConflictError: two grids or products, wrong spacing, too few frames, or observations at none of the leads.
            UnknownNameError: no such model.
        """
        choice = self.predictor.choose(model)
        with stage("regrid"):
            inputs = noted(self._windows.of(frames, choice.reference), notes, field_notes(frames))
        window = inputs.window
        leads = [window.reference_time + timedelta(minutes=lead) for lead in inputs.lead_minutes]
        check_observations(window.grid, leads, observations)
        forecast = self._maker.make(inputs, choice, "upload")
        self._maker.make_baselines(inputs, "upload")
        if observations:
            with stage("observe"):
                self._scoring.keep_observations(forecast, observations)
        return self._aged(_with_notes(forecast, window))

    def latest(self, model: str | None = None) -> StoredForecast:
        """Return the newest forecast from scans (model None: of the scheduled model, before any other).

        Raises:
            NoDataError: there is none yet.
        """
        other = None if model in (None, self.settings.model) else model
        wanted = other or (self.settings.model if self.settings.model in BASELINES else None)
        found = self.catalogue.select(
            origin="scans", model=wanted, baselines=wanted is not None, replaced=False, limit=LOOKED_AT
        )
        found = found or (() if other else self.catalogue.select(origin="scans", replaced=False, limit=LOOKED_AT))
        found = sorted(found, key=lambda one: (one.reference_time, one.issued_at), reverse=True)
        if not (there := next((one for one in found if one.has_file), None)):
            raise NoDataError(f"no forecast{f' of {model}' if model else ''} from stored scans exists yet")
        return self._aged(there)

    def get(self, forecast_id: str) -> StoredForecast:
        """Return the forecast with that id.

        Raises:
            NoDataError: no forecast has that id.
        """
        return self._aged(self.catalogue.get(forecast_id))

    @property
    def score_book(self) -> Scorebook:
        """Return the stored sums of scores."""
        return self._scoring.book

    def data_age_s(self, forecast: StoredForecast) -> float:
        """Return seconds since the reference time, at least 0, by the wall clock or the clock of a replay."""
        now = self._clock() if forecast.origin == "upload" else self.now()
        return max(0.0, (now - forecast.reference_time).total_seconds())

    def now(self) -> datetime:
        """Return the time against which ages are counted: the wall clock, or the newest scan's time in a replay."""
        newest = self.store.latest() if self.settings.source_kind == "replay" else None
        return newest.valid_time if newest else self._clock()

    def verification_of(self, forecast: StoredForecast) -> Verification | None:
        """Return scores of this forecast where it is observed, else of its model's last 24 hours; None before any.

        Afterwards `forecast.observations_path` is set where the kind is `this_forecast`.
        """
        with stage("score"):
            rows: Sequence[SumRow] = self._scoring.this_forecast(forecast)
        if rows:
            return Verification("this_forecast", of_family(rows, "counts"), of_family(rows, "counts", "known"))
        rows = pooled(self.rolling(model=forecast.model))
        known = pooled(self.rolling(model=forecast.model, mask="known")) if rows else []
        return Verification("rolling_24h", rows, known) if rows else None

    def verify_observed(self, within_s: float = math.inf, gives_way: Callable[[], bool] = lambda: False) -> int:
        """Score each lead of forecasts from scans once its observation is stored; return the number of new counts.

        Args:
            within_s: about how long it may take, and as long again for missing baselines; the next call continues.
            gives_way: whether something else is more urgent by now; at least one window gets its baselines and scores.
        """
        since = self.verified_since()
        self.baselines.backfill(since, within_s, gives_way)
        without = {forecast.inputs_sha256 for forecast in self.baselines.missing(since)}
        return self._scoring.verify_observed(within_s, since, skip=without, gives_way=gives_way)

    def unverified(self) -> Sequence[str]:
        """Return windows, by their `inputs_sha256`, with a lead that `verify_observed` may still score."""
        return self._scoring.book.unscored_inputs(self.verified_since())

    def roll_up_scores(self) -> int:
        """Sum the scores of old forecasts by hours and days; return the number of summed leads."""
        newest = self.store.latest()
        if newest is None:
            return 0
        self.schedule.forget(newest.valid_time - TIMES_KEPT)
        return roll_up(self.catalogue.engine, newest.valid_time)

    def verified_since(self) -> datetime | None:
        """Return the oldest time that is still scored: older scans may be deleted, and older hours have their sums."""
        newest = self.store.latest()
        most = min(timedelta(days=self.settings.scans_keep_days + 1), HOURS_AFTER)
        return newest.valid_time - most if newest else None

    def rolling(self, hours: float = 24, model: str | None = None, mask: Mask = "all") -> Sequence[SumRow]:
        """Return counts summed by model, version, lead and threshold over the valid times of the last hours.

        Args:
            hours: back from `now()`.
            model: of that model, with both baselines over the same forecasts; None is every model, each over its own.
            mask: all observed grid cells, or those that are known to rest on an observation.
        """
        until = self.now()
        return counts_over(self.catalogue.engine, Period(until - timedelta(hours=hours), until, model), mask)

    def list(
        self,
        *,
        model: str | None = None,
        origin: Origin | None = None,
        start: datetime | None = None,
        end: datetime | None = None,
        after: tuple[datetime, str] | None = None,
        limit: int = 100,
    ) -> Sequence[StoredForecast]:
        """Return forecasts, the newest reference time first; `after` is time and id of the last one known."""
        found = self.catalogue.select(model=model, origin=origin, start=start, end=end, after=after, limit=limit)
        return [self._aged(forecast) for forecast in found]

    def _scan_time(self, wanted: datetime | None) -> datetime:
        """Return the time of the nearest scan: a forecast never has a newer time than its data.

        Raises:
            NoDataError: no scan is near.
        """
        newest = self.store.latest()
        if newest is None:
            raise NoDataError("no scan is stored yet; forecasts start from ingested scans or from an upload")
        if wanted is None:
            return newest.valid_time
        try:
            time = wanted.astimezone(UTC)
            near = [scan.valid_time for scan in self.store.scans(start=time - NEAR, end=time + NEAR)]
        except OverflowError:  # within 5 minutes of the first or last time that there is
            near = []
        if not near:
            raise NoDataError(
                f"no scan within {NEAR / timedelta(minutes=1):.0f} minutes of {wanted.isoformat()}; the newest is "
                f"{newest.product} of {iso(newest.valid_time)}"
            )
        return min(near, key=lambda scan_time: abs(scan_time - time))

    def _aged(self, forecast: StoredForecast) -> StoredForecast:
        """Return the forecast with its present status."""
        return replace(forecast, status="stale") if self._is_stale(forecast) else forecast

    def _is_stale(self, forecast: StoredForecast) -> bool:
        return self.data_age_s(forecast) > self.settings.stale_after_s
