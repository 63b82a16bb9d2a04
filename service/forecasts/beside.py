"""The baselines beside forecasts whose answer did not wait for them: made right after it, and never lost.

What is owed is what the catalogue shows: a forecast whose window has no persistence or no extrapolation. So nothing has
to be noted, and a process that ends in between leaves the work to whoever looks next: the API or the worker when it
starts, the verification before it counts, or the first reader who asks for scores.
"""

import logging
import threading
from collections.abc import Sequence
from datetime import datetime
from queue import SimpleQueue
from typing import Final

from sqlalchemy import case, func, select

from core.errors import NoDataError, NowcastError
from ingest.store.database import reading
from service.forecasts.catalogue import Catalogue
from service.forecasts.maker import Maker
from service.forecasts.products import kept_input
from service.forecasts.records import StoredForecast
from service.forecasts.tables import ForecastRow
from verification.baselines import BASELINES

MOST_AT_ONCE: Final = 500
MOST_WAITING: Final = 200
log = logging.getLogger(__name__)


class Beside:
    """Makes up for baselines; one thread, which begins with the first forecast that is left to it."""

    def __init__(self, catalogue: Catalogue, maker: Maker) -> None:
        self._catalogue = catalogue
        self._maker = maker
        self._queue: SimpleQueue[StoredForecast] = SimpleQueue()
        self._guard = threading.Lock()
        self._thread: threading.Thread | None = None

    def later(self, forecast: StoredForecast) -> None:
        """Make them soon, in another thread."""
        if self._queue.qsize() >= MOST_WAITING:
            return  # the catalogue shows what is owed
        self._queue.put(forecast)
        with self._guard:
            if self._thread is None:
                self._thread = threading.Thread(target=self._serve, name="baselines", daemon=True)
                self._thread.start()

    def now(self, forecast: StoredForecast) -> None:
        """Make what is missing of a forecast's baselines, from its kept inputs; none where these are gone."""
        try:
            inputs = kept_input(forecast)
        except NoDataError as err:
            log.warning("no baselines beside forecast %s: %s", forecast.id, err)
            return
        self._maker.make_beside(inputs, forecast.origin)

    def owed(self, since: datetime | None = None, limit: int = MOST_AT_ONCE) -> Sequence[StoredForecast]:
        """One forecast of each window that lacks a baseline, the newest first."""
        row = ForecastRow
        has_both = [func.max(case((row.model == name, 1), else_=0)) == 1 for name in BASELINES]
        lacks = ~has_both[0] | ~has_both[1]
        query = select(func.min(row.id)).where(row.model.not_in(BASELINES))
        groups = select(row.inputs_sha256, row.origin, row.leads)
        if since is not None:
            groups = groups.where(row.reference_time >= since)
        groups = groups.group_by(row.inputs_sha256, row.origin, row.leads).having(lacks)
        with reading(self._catalogue.engine) as connection:
            windows = connection.execute(groups.order_by(func.max(row.reference_time).desc()).limit(limit)).all()
            found = [
                connection.execute(
                    query.where(row.inputs_sha256 == sha256, row.origin == origin, row.leads == leads)
                ).scalar()
                for sha256, origin, leads in windows
            ]
        forecasts = [self._catalogue.find(forecast_id) for forecast_id in found if forecast_id]
        return [forecast for forecast in forecasts if forecast is not None and forecast.inputs_path.is_file()]

    def make_up(self, since: datetime | None = None) -> int:
        """Make every baseline that is owed; the number of forecasts that lacked one."""
        owed = self.owed(since)
        for forecast in owed:
            self.now(forecast)
        return len(owed)

    def _serve(self) -> None:
        while True:
            forecast = self._queue.get()
            try:
                self.now(forecast)
            except (NowcastError, OSError) as err:
                log.warning("the baselines beside forecast %s wait: %s", forecast.id, err)
            except Exception:
                log.exception("the baselines beside forecast %s wait", forecast.id)
            del forecast
