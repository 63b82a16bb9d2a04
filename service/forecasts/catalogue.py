"""The SQL catalogue of forecasts; its rows can be rebuilt from the files of the forecasts."""

import logging
from collections.abc import Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any, Final
from uuid import uuid4

from sqlalchemy import Connection, Select, delete, select

from core.errors import NoDataError
from core.settings import sqlite_url
from core.shared_files import is_stored, keeper_of, mounted
from core.times import utc
from ingest.store.database import count, lock_by_server, open_engine, reading, upsert, writing
from ingest.store.locks import REPAIR_LOCK, write_lock
from ingest.store.repair import MARK, repair_when_lost
from ingest.store.schema import prepare
from ingest.store.tables import CHANGES, CountRow
from service.forecasts.products import forecast_attributes, read_forecast
from service.forecasts.records import FORECAST, Origin, StoredForecast
from service.forecasts.replacement import is_current
from service.forecasts.schedule import enter_time
from service.forecasts.tables import ForecastRow
from verification.baselines import BASELINES

log = logging.getLogger(__name__)

FOLDER: Final = "forecasts"
STAMP: Final = ".changed"
IDS_PER_STATEMENT: Final = 500
Version = tuple[int, int]


@dataclass(frozen=True)
class CatalogueEntry:
    """What retention needs to know of a forecast."""

    id: str
    path: Path
    model: str
    inputs_sha256: str
    origin: str
    reference_time: datetime
    issued_at: datetime


class Catalogue:
    """Forecasts by id, time, model and input.

    Args:
        home: the live store; forecast files are in its folder `forecasts`.
        database_url: None is the SQLite file of the live store.
    """

    def __init__(self, home: str | Path, database_url: str | None = None) -> None:
        home = Path(home).resolve()
        self.folder = home / FOLDER
        self.folder.mkdir(parents=True, exist_ok=True)
        self.engine = open_engine(database_url or sqlite_url(home))
        self._lost = home / MARK
        self._is_shared, self._seen = mounted(home) is not None, (0, 0)
        lock_by_server(home, self.engine)
        with write_lock(home):
            prepare(self.engine)
            if self._is_empty() and next(self._own_files(), None) is not None:
                log.warning("the catalogue of forecasts is empty; rebuilt from %d files", self.rebuild())
        repair_when_lost(self.engine, home)

    def put(self, forecast: StoredForecast) -> None:
        """Add a forecast whose file is written; adding it again changes nothing."""
        with writing(self.engine) as connection:
            connection.execute(upsert(ForecastRow, [self._row(forecast)], connection.dialect.name))
            enter_time(connection, forecast)
            self._count_change(connection)
        self._changed()

    @property
    def version(self) -> Version:
        """Return a value that changes with every entry by any process; costs one look at a file's time.

        Of a store of several machines it is the value that was looked up last: no query is made.
        """
        if self._is_shared:
            return self._seen
        try:
            stamp = (self.folder / STAMP).stat()
        except FileNotFoundError:
            return 0, 0
        return stamp.st_mtime_ns, stamp.st_ino

    def look(self) -> Version:
        """Return the version as it is now, by a query where several machines share the store.

        Raises:
            UnavailableError: the database does not respond.
        """
        if self._is_shared:
            with reading(self.engine) as connection:
                self._seen = connection.scalar(select(CountRow.n).where(CountRow.what == CHANGES)) or 0, 0
        return self.version

    def is_replaced(self, forecast: StoredForecast) -> bool:
        """Return whether a forecast of the same model, time and product was made later (`is_current`)."""
        query = select(ForecastRow.id).where(ForecastRow.id == forecast.id, ~is_current())
        with reading(self.engine) as connection:
            return connection.scalar(query) is not None

    def find(self, forecast_id: str) -> StoredForecast | None:
        """Return the forecast with that id; None unless both row and file exist."""
        found = self._read(select(ForecastRow.path, ForecastRow.attributes).where(ForecastRow.id == forecast_id))
        return next((forecast for forecast in found if forecast.has_file), None)

    def get(self, forecast_id: str) -> StoredForecast:
        """Return the forecast with that id.

        Raises:
            NoDataError: there is none.
        """
        forecast = self.find(forecast_id)
        if forecast is None:
            raise NoDataError(f"no forecast has the id {forecast_id}")
        return forecast

    def select(
        self,
        *,
        model: str | None = None,
        origin: Origin | None = None,
        product: str | None = None,
        inputs_sha256: str | None = None,
        baselines: bool = True,
        replaced: bool = True,
        start: datetime | None = None,
        end: datetime | None = None,
        after: tuple[datetime, str] | None = None,
        limit: int | None = None,
    ) -> Sequence[StoredForecast]:
        """Return forecasts, the newest reference time first.

        Args:
            model: the forecaster's name, or the requested name.
            origin: scans or upload.
            product: of the radar.
            inputs_sha256: of one window.
            baselines: False leaves persistence and extrapolation out.
            replaced: False leaves out forecasts that were made again since (`is_current`).
            start: first reference time.
            end: last reference time.
            after: reference time and id of the last one of the page before.
            limit: the largest number of forecasts.
        """
        row = ForecastRow
        query = select(row.path, row.attributes).order_by(row.reference_time.desc(), row.id)
        equal = {row.origin: origin, row.product: product, row.inputs_sha256: inputs_sha256}
        query = query.where(*(column == wanted for column, wanted in equal.items() if wanted is not None))
        if not replaced:
            query = query.where(is_current())
        if model is not None:
            query = query.where((row.model == model) | (row.requested_model == model))
        if not baselines:
            query = query.where(row.model.not_in(BASELINES))
        query = query if start is None else query.where(row.reference_time >= start)
        query = query if end is None else query.where(row.reference_time <= end)
        if after is not None:
            later = (row.reference_time == after[0]) & (row.id > after[1])
            query = query.where((row.reference_time < after[0]) | later)
        return self._read(query.limit(limit))

    def row_of(self, forecast_id: str) -> tuple[str, dict[str, Any]] | None:
        """Return path and attributes of a forecast's row, whether or not its file exists."""
        query = select(ForecastRow.path, ForecastRow.attributes).where(ForecastRow.id == forecast_id)
        with reading(self.engine) as connection:
            found = connection.execute(query).one_or_none()
        return None if found is None else (found.path, found.attributes)

    def entries(self) -> Sequence[CatalogueEntry]:
        """Return every row, without opening a file."""
        row = ForecastRow
        issued_at = row.attributes["issued_at"].as_string()
        query = select(row.id, row.path, row.model, row.inputs_sha256, row.origin, row.reference_time, issued_at)
        with reading(self.engine) as connection:
            found = connection.execute(query).all()
        return [
            CatalogueEntry(name, self.folder / path, model, sha256, origin, at, utc(issued))
            for name, path, model, sha256, origin, at, issued in found
        ]

    def forget(self, ids: Sequence[str]) -> None:
        """Delete the rows of forecasts, all or none; their counts stay."""
        with writing(self.engine) as connection:
            for start in range(0, len(ids), IDS_PER_STATEMENT):
                some = ids[start : start + IDS_PER_STATEMENT]
                connection.execute(delete(ForecastRow).where(ForecastRow.id.in_(some)))
            self._count_change(connection)
        self._changed()

    def rebuild(self) -> int:
        """Enter every forecast file, and delete rows without one; return the number of forecasts."""
        rows, paths = [], set(self._own_files())
        for path in sorted(paths):
            try:
                rows.append(self._row(read_forecast(path)))
            except (OSError, NoDataError) as err:
                log.warning("%s cannot be read as a forecast file: %s: %s", path, type(err).__name__, err)
        with writing(self.engine) as connection:
            known = connection.execute(select(ForecastRow.id, ForecastRow.path)).all()
            missing = [(name, self.folder / path) for name, path in known if self.folder / path not in paths]
            gone = [name for name, path in missing if not is_stored(path)]  # one may have been made meanwhile
            for start in range(0, len(gone), IDS_PER_STATEMENT):
                some = gone[start : start + IDS_PER_STATEMENT]
                connection.execute(delete(ForecastRow).where(ForecastRow.id.in_(some)))
            for row in rows:
                connection.execute(upsert(ForecastRow, [row], connection.dialect.name))
            self._count_change(connection)
        self._changed()
        return len(rows)

    def _rebuild_when_lost(self) -> None:
        """Enter the files of forecasts again after a process has replaced the catalogue."""
        if self._lost.exists():
            with write_lock(self._lost.parent, REPAIR_LOCK):
                if self._lost.exists():
                    log.warning("the catalogue was replaced; entered again: %d forecasts", self.rebuild())
                    self._lost.unlink(missing_ok=True)

    def _own_files(self) -> Iterator[Path]:
        """Return the files of forecasts, without their inputs, observations, members and exports (`ID.PART.nc`)."""
        keeper = keeper_of(self.folder)
        stored = (path for path, _ in keeper.listed(self.folder)) if keeper else self.folder.glob("*/*/*/*.nc")
        for path in stored:
            is_own = "." not in path.stem and not path.name.startswith("inputs-")
            if is_own and path.match("*/*/*/*.nc"):
                yield path

    def _is_empty(self) -> bool:
        with reading(self.engine) as connection:
            return count(connection, ForecastRow) == 0

    def _count_change(self, connection: Connection) -> None:
        if self._is_shared:
            row = {"what": CHANGES, "n": 1}
            connection.execute(upsert(CountRow, [row], connection.dialect.name, add=True))

    def _changed(self) -> None:
        stamp = self.folder / f"{STAMP}.{uuid4()}"
        with suppress(OSError):  # a full disk: readers of `version` also query the catalogue itself from time to time
            stamp.touch()
            stamp.replace(self.folder / STAMP)  # another file, so that two changes within a clock's tick differ

    def _read(self, query: Select[tuple[str, dict[str, Any]]]) -> Sequence[StoredForecast]:
        self._rebuild_when_lost()
        with reading(self.engine) as connection:
            rows = connection.execute(query).all()
        return [FORECAST.from_attributes(attributes, path=self.folder / path) for path, attributes in rows]

    def _row(self, forecast: StoredForecast) -> dict[str, Any]:
        return {
            "id": forecast.id,
            "origin": forecast.origin,
            "requested_model": forecast.requested_model,
            "model": forecast.model,
            "version": forecast.version,
            "product": forecast.product,
            "grid_key": forecast.grid.key,
            "reference_time": forecast.reference_time,
            "inputs_sha256": forecast.inputs_sha256,
            "leads": len(forecast.lead_minutes),
            "path": forecast.path.relative_to(self.folder).as_posix(),
            "attributes": forecast_attributes(forecast),
        }
