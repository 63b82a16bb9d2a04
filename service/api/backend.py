"""The running `NowcastService` behind the API, opened and warmed in a thread so that /livez answers at once."""

import logging
import threading
from collections.abc import Callable
from contextlib import nullcontext, suppress
from sqlite3 import Connection
from typing import Annotated, Final

from fastapi import Depends, Request
from sqlalchemy.exc import SQLAlchemyError

from core.errors import ConfigError, NoDataError, NowcastError, UnavailableError
from core.settings import Settings
from core.times import utc_now
from ingest.sandbox.pool import decoder_pool
from ingest.store.database import open_idle_connection
from service.api.admission import admission_of
from service.api.errors import public_reason
from service.forecasts.fields import FIELDS
from service.forecasts.nowcast import NowcastService
from service.inference.predictor import batch_size
from service.process.responsive import LibraryThreads, gc_frozen_after, shorten_switch_interval
from service.queries.zones import zone_at

log = logging.getLogger(__name__)

FOLLOW_S: Final = 0.5
"""Seconds between two looks for a newer forecast; a look is one `stat` of a file, or a query of one row."""

RETRY_S: Final = (1.0, 2.0, 5.0, 10.0)
"""Waits between attempts to open the store and warm the model; the last one repeats."""


class Backend:
    """Opens the service in a thread and holds it.

    Args:
        settings: of this process.
        build: opens the service.
        is_whole_process: whether this process does nothing else, so that it may be tuned to answer while it computes.

    Attributes:
        settings: of this process.
        warm: whether the model has made a forecast.
        started_at: when this process began to serve.
        admission: admission control of forecast requests.
    """

    def __init__(
        self, settings: Settings, build: Callable[[], NowcastService], *, is_whole_process: bool = False
    ) -> None:
        self._is_whole_process = is_whole_process
        self.settings = settings
        self.warm = False
        self.started_at = utc_now()
        self.admission = admission_of(settings)
        self._build = build
        self._service: NowcastService | None = None
        self._reason = "the service is starting"
        self._stop = threading.Event()
        self._held: Connection | None = None
        self._thread = threading.Thread(target=self._open_and_warm, name="warm", daemon=True)

    @property
    def service(self) -> NowcastService:
        """Return the open service.

        Raises:
            UnavailableError: it is not open yet.
        """
        if self._service is None:
            raise UnavailableError(f"{self._reason}; retry in a few seconds")
        return self._service

    @property
    def reason(self) -> str:
        """Return why the model is not warm yet."""
        return self._reason

    def start(self) -> None:
        """Start opening the service and warming the model."""
        if self._is_whole_process:
            shorten_switch_interval()
            LibraryThreads().follow(self._stop)
        self._thread.start()

    def stop(self) -> None:
        """Cancel steps that have not started; a running one ends by itself."""
        self._stop.set()
        if self._held is not None:
            self._held.close()

    def wait_warm(self, timeout_s: float) -> bool:
        """Wait for the thread, and return whether the model is warm."""
        self._thread.join(timeout_s)
        return self.warm

    def _open_and_warm(self) -> None:
        attempt = 0
        while not self._stop.is_set():
            try:
                with gc_frozen_after() if self._is_whole_process else nullcontext():
                    self._open()
                self._after_warm("backfill of baselines failed", self._backfill)
                if self._is_whole_process:
                    threading.Thread(target=self._follow_newest, name="newest", daemon=True).start()
                return
            except Exception as err:
                # any failure to start is shown by /readyz to the operator, and tried again
                failed = "the model failed to warm up" if self._service else "the store failed to open"
                self._reason = f"{failed}: {public_reason(err)}"
                log.error("%s: %s", failed, err, exc_info=not isinstance(err, NowcastError))
                if isinstance(err, ConfigError):
                    return
            self._stop.wait(RETRY_S[min(attempt, len(RETRY_S) - 1)])
            attempt += 1

    def _follow_newest(self) -> None:
        """Read each new forecast into memory when it appears, so that no request waits for its file."""
        seen = None
        while not self._stop.wait(FOLLOW_S):
            try:
                version = self.service.catalogue.look()
            except NowcastError:
                continue  # the database does not respond; requests say so
            if version != seen:
                seen = version
                self._after_warm("reading the newest forecast failed", self._hold_newest)

    def _hold_newest(self) -> None:
        with suppress(NoDataError), self.service.healing.noticing():  # there is none yet
            FIELDS.read(self.service.latest())

    def _open(self) -> None:
        self._service = self._service or self._build()
        self._held = self._held or open_idle_connection(self._service.catalogue.engine)
        self._service.setting_checks.check()
        self._service.predictor.warm(self.settings.model)
        self.warm = True
        self._after_warm("warming up for uploads failed", self._load_for_uploads)

    def _backfill(self) -> None:
        if self.settings.redis_url is not None:
            return  # a worker does it: two APIs that start would compute the same baselines
        self.service.baselines.backfill(self.service.verified_since())

    def _load_for_uploads(self) -> None:
        self.admission.widen(batch_size(self.settings))
        self.service.predictor.warm("extrapolation")
        decoder_pool().start()
        zone_at(0.0, 0.0)  # the first look-up reads the list of zones

    def _after_warm(self, what: str, work: Callable[[], object]) -> None:
        """Run a step that the first requests would otherwise wait for; a failure is logged only."""
        try:
            work()
        except (NowcastError, SQLAlchemyError, OSError) as err:
            log.warning("after the start: %s: %s", what, err)


async def backend_of(request: Request) -> Backend:
    """Return the backend of the application.

    Declared `async`, as is `service_of`: FastAPI would run a plain function in a thread, for every request.
    """
    backend: Backend = request.app.state.backend
    return backend


async def service_of(backend: Annotated[Backend, Depends(backend_of)]) -> NowcastService:
    """Return the open service.

    Raises:
        UnavailableError: it is not open yet.
    """
    return backend.service


BackendDep = Annotated[Backend, Depends(backend_of)]
ServiceDep = Annotated[NowcastService, Depends(service_of)]
