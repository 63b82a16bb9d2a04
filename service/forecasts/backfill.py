"""Background computation of the baseline forecasts that a request did not wait for.

What is missing is read from the catalogue: a forecast whose window has no persistence or no extrapolation. So nothing
has to be noted, and a process that ends in between leaves the work to the next one that looks: the API or the worker
when it starts, the verification before it counts, or the first request for scores. Inputs that are lost come from the
stored scans again.
"""

import logging
import math
import threading
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import replace
from datetime import datetime
from queue import SimpleQueue
from time import monotonic
from typing import Final

from sqlalchemy import case, func, select

from core.errors import InputError, NoDataError, NowcastError
from core.files import damage_in
from core.shared_files import is_stored
from ingest.store.database import reading
from service.forecasts.catalogue import Catalogue
from service.forecasts.healing import ForecastHealing
from service.forecasts.maker import Maker
from service.forecasts.products import kept_input
from service.forecasts.records import StoredForecast
from service.forecasts.replacement import is_current
from service.forecasts.scorebook import lacks_scores
from service.forecasts.tables import ForecastRow
from service.inference.inputs import ModelInput, Windows
from service.inference.predictor import Predictor
from verification.baselines import BASELINES

MOST_AT_ONCE: Final = 500
MOST_SCHEDULED: Final = 200
log = logging.getLogger(__name__)


class LostInputs:
    """Builds the inputs of stored forecasts as they were built first.

    Args:
        catalogue: of the forecasts.
        windows: builds inputs from stored scans.
        predictor: knows the window that a model needs.
    """

    def __init__(self, catalogue: Catalogue, windows: Windows, predictor: Predictor) -> None:
        self._catalogue, self._windows, self._predictor = catalogue, windows, predictor

    def from_scans(self, forecast: StoredForecast) -> ModelInput | None:
        """Return the inputs of a forecast; None of an upload, and where the scans give no longer the same ones.

        Raises:
            UnavailableError: the scans cannot be read now.
        """
        if forecast.origin != "scans":
            return None
        known = self._catalogue.select(inputs_sha256=forecast.inputs_sha256, origin="scans", baselines=False)
        for model in dict.fromkeys([*(one.requested_model for one in known), forecast.requested_model]):
            with suppress(NoDataError, InputError):
                reference = self._predictor.choose(model).reference
                inputs = self._windows.stored(forecast.reference_time, reference)
                if inputs.sha256 == forecast.inputs_sha256:
                    return replace(inputs, lead_minutes=forecast.lead_minutes)
        return None


class BaselineBackfill:
    """Computes missing baselines in one thread, which starts with the first scheduled forecast.

    Args:
        catalogue: of the forecasts.
        maker: computes and stores them.
        from_scans: builds the inputs of a forecast anew; None where the stored scans do not give the same ones.

    Attributes:
        claim: whether no other process has begun the baselines of a forecast a moment ago.
    """

    claim: Callable[[StoredForecast], bool] = staticmethod(lambda _: True)

    def __init__(
        self, catalogue: Catalogue, maker: Maker, from_scans: Callable[[StoredForecast], ModelInput | None]
    ) -> None:
        self._catalogue = catalogue
        self._maker = maker
        self._from_scans = from_scans
        self._given_up: set[str] = set()
        self._healing = ForecastHealing(catalogue)
        self._queue: SimpleQueue[StoredForecast] = SimpleQueue()
        self._guard = threading.Lock()
        self._thread: threading.Thread | None = None

    def schedule(self, forecast: StoredForecast) -> None:
        """Compute the baselines of a forecast soon, in another thread."""
        if self._queue.qsize() >= MOST_SCHEDULED:
            return  # they stay missing in the catalogue, where `backfill` finds them
        self._queue.put(forecast)
        with self._guard:
            if self._thread is None:
                self._thread = threading.Thread(target=self._serve, name="baselines", daemon=True)
                self._thread.start()

    def compute(self, forecast: StoredForecast) -> None:
        """Compute the missing baselines of a forecast from its inputs; none without these."""
        inputs = self._inputs(forecast)
        if inputs is not None:
            self._maker.make_baselines(inputs, forecast.origin)

    def _inputs(self, forecast: StoredForecast) -> ModelInput | None:
        """Return the kept inputs of a forecast, or the same ones from the scans; None where both are lost."""
        try:
            return kept_input(forecast)
        except NoDataError as err:
            if damaged := damage_in(err):
                self._healing.set_aside(damaged)
            inputs = self._from_scans(forecast)
            outcome = "the stored scans do not give them again" if inputs is None else "built anew from the scans"
            log.warning("the inputs of forecast %s are lost, %s: %s", forecast.id, outcome, err)
        if inputs is None:
            self._given_up.add(forecast.id)
        return inputs

    def missing(self, since: datetime | None = None, limit: int = MOST_AT_ONCE) -> Sequence[StoredForecast]:
        """Return one forecast of each window that lacks a baseline, the newest first.

        A window of which all leads are scored needs none any more: retention may have deleted them.
        """
        row = ForecastRow
        has_both = [func.max(case((row.model == name, 1), else_=0)) == 1 for name in BASELINES]
        lacks = ~has_both[0] | ~has_both[1]
        query = select(func.min(row.id)).where(is_current())
        groups = select(row.inputs_sha256, row.origin, row.leads)
        if since is not None:
            groups = groups.where(row.reference_time >= since)
        groups = groups.group_by(row.inputs_sha256, row.origin, row.leads).having(lacks, lacks_scores())
        with reading(self._catalogue.engine) as connection:
            windows = connection.execute(groups.order_by(func.max(row.reference_time).desc()).limit(limit)).all()
            found = [
                connection.execute(
                    query.where(row.inputs_sha256 == sha256, row.origin == origin, row.leads == leads)
                ).scalar()
                for sha256, origin, leads in windows
            ]
        forecasts = [self._catalogue.find(forecast_id) for forecast_id in found if forecast_id]
        return [forecast for forecast in forecasts if forecast is not None and self._has_inputs(forecast)]

    def _has_inputs(self, forecast: StoredForecast) -> bool:
        """Return whether the inputs are stored, or may be built anew: that is tried once by each process."""
        may_be_built = forecast.origin == "scans" and forecast.id not in self._given_up
        return may_be_built or is_stored(forecast.inputs_path)

    def backfill(
        self, since: datetime | None = None, within_s: float = math.inf, gives_way: Callable[[], bool] = lambda: False
    ) -> int:
        """Compute missing baselines, those of the newest forecasts first; return the number of forecasts.

        Args:
            since: earliest reference time.
            within_s: none is begun after this time; the next call continues.
            gives_way: looked up after each forecast: True ends the call, too.
        """
        ends_at, done = monotonic() + within_s, 0
        for forecast in self.missing(since):
            if done and (monotonic() >= ends_at or gives_way()):
                break
            if self.claim(forecast):
                self.compute(forecast)
                done += 1
        return done

    def make_again(self) -> int:
        """Make the forecasts again whose files were lost, from their inputs; return their number.

        Raises:
            UnavailableError: the disk or the database failed; a later call goes on.
        """
        return self._healing.make_again(self._make_again)

    def _make_again(self, forecast: StoredForecast) -> bool:
        inputs = self._inputs(forecast)
        if inputs is not None:
            self._maker.make_again(inputs, forecast)
        return inputs is not None

    def _serve(self) -> None:
        while True:
            forecast = self._queue.get()
            try:
                self.compute(forecast)
            except (NowcastError, OSError) as err:
                log.warning("the baselines of forecast %s are still missing: %s", forecast.id, err)
            except Exception:
                log.exception("the baselines of forecast %s are still missing", forecast.id)
            del forecast
