"""The catalogue of the ingest room: stored scans, ingested and rejected files, and counters."""

import logging
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, Final

from sqlalchemy import Connection, Engine, delete, func, select, update

from core.errors import UnavailableError
from core.records import RecordCodec
from core.times import stamp
from ingest.store.database import count, is_sound, reading, upsert, writing
from ingest.store.locks import translate_os_errors
from ingest.store.quality import QualityFacts
from ingest.store.scanfile import ScanHeader
from ingest.store.schema import prepare
from ingest.store.tables import CHANGES, CountRow, FileRow, RejectedRow, ScanRow

ROWS_PER_STATEMENT: Final = 500
MAX_AHEAD: Final = timedelta(minutes=5)
"""Longest time ahead of the clock: a scan of a later time would remain the newest one until then."""

AROUND: Final = timedelta(hours=1)
"""Scans that far before and after one say which grid is that of its product."""

NO_HORIZON: Final = datetime.max.replace(tzinfo=UTC)
SUMS: Final = ("RW", "SF", "RQ")
"""Products that are sums of an hour or a day: no forecast starts from them."""

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Scan:
    """One stored observation in the catalogue; `Store.load` reads its field."""

    product: str
    valid_time: datetime
    received_at: datetime
    path: Path
    sha256: str
    grid_key: str
    coverage: float
    missing_radars: tuple[str, ...]
    issued_at: datetime
    facts: QualityFacts


HEADER_ROW: Final = RecordCodec(ScanHeader, flatten=("facts",))
SCAN_ROW: Final = RecordCodec(Scan, omit=("path",), flatten=("facts",))


class Index:
    """The catalogue's tables of one live store; paths are kept relative to `home`, so that the folder can move.

    Args:
        home: the live store.
        engine: of the catalogue.
        horizon: time after which no scan is returned: it was dated ahead, or the clock was set back since.
    """

    def __init__(self, home: Path, engine: Engine, horizon: Callable[[], datetime] = lambda: NO_HORIZON) -> None:
        self.home, self.engine, self._horizon = home, engine, horizon

    def open(self, now: datetime) -> None:
        """Create or upgrade the tables; a corrupt SQLite file is set aside first, and the tables are empty then.

        Raises:
            ConfigError: the schema is not one that this release can use.
            UnavailableError: the database does not respond.
        """
        if not is_sound(self.engine):
            self.set_aside(now)
        prepare(self.engine)

    def __len__(self) -> int:
        with reading(self.engine) as connection:
            return count(connection, ScanRow)

    def scans(
        self, *, product: str | None = None, start: datetime | None = None, end: datetime | None = None
    ) -> list[Scan]:
        """Return scans in ascending time, both ends included."""
        horizon = self._horizon()
        query = select(ScanRow.__table__).order_by(ScanRow.valid_time, ScanRow.product)
        query = query.where(ScanRow.valid_time <= (horizon if end is None else min(end, horizon)))
        query = query.where(ScanRow.product == product) if product is not None else query
        query = query.where(ScanRow.valid_time >= start) if start is not None else query
        with reading(self.engine) as connection:
            return [self._scan(row._mapping) for row in connection.execute(query)]

    def latest(self, product: str | None = None) -> Scan | None:
        """Return the newest scan, or None; an hourly or daily sum only where there is no other product."""
        newest = (ScanRow.product.in_(SUMS), ScanRow.valid_time.desc(), ScanRow.received_at.desc())
        query = select(ScanRow.__table__).order_by(*newest).where(ScanRow.valid_time <= self._horizon()).limit(1)
        query = query.where(ScanRow.product == product) if product is not None else query
        with reading(self.engine) as connection:
            row = connection.execute(query).first()
        return self._scan(row._mapping) if row else None

    def products(self) -> list[str]:
        """Return the products that have scans."""
        with reading(self.engine) as connection:
            return list(connection.scalars(select(ScanRow.product).distinct().order_by(ScanRow.product)))

    def scan_of(self, product: str, valid_time: datetime) -> Scan | None:
        """Return the scan of a product and time."""
        query = select(ScanRow.__table__).where(ScanRow.product == product, ScanRow.valid_time == valid_time)
        with reading(self.engine) as connection:
            row = connection.execute(query).first()
        return self._scan(row._mapping) if row else None

    def enter(
        self,
        scans: Sequence[tuple[Path, ScanHeader]],
        *,
        file: Mapping[str, Any] | None = None,
        counts: Mapping[str, int] | None = None,
        replace_all: bool = False,
    ) -> None:
        """Insert the rows of stored files in one transaction.

        Args:
            scans: the files with their headers.
            file: the `FileRow` of the ingested file that contained them.
            counts: added to the counters.
            replace_all: delete all other rows of scans and of ingested files first.
        """
        rows = [{**HEADER_ROW.to_row(header), "path": path.relative_to(self.home).as_posix()} for path, header in scans]
        with writing(self.engine) as connection:
            if replace_all:
                connection.execute(delete(ScanRow))
                connection.execute(delete(FileRow))
            for at in range(0, len(rows), ROWS_PER_STATEMENT):
                some = rows[at : at + ROWS_PER_STATEMENT]
                connection.execute(upsert(ScanRow, some, self.engine.dialect.name))
            if file is not None:
                connection.execute(upsert(FileRow, [file], self.engine.dialect.name))
            self._add(connection, counts or {})

    def reject(self, row: Mapping[str, Any]) -> bool:
        """Insert a `RejectedRow` and count it; one that exists already has its time changed alone, and gives False."""
        known = (RejectedRow.sha256 == row["sha256"]) & (RejectedRow.name == row["name"])
        with writing(self.engine) as connection:
            if connection.execute(update(RejectedRow).where(known).values(at=row["at"])).rowcount:
                return False
            connection.execute(upsert(RejectedRow, [row], self.engine.dialect.name))
            self._add(connection, {f"rejected:{row['kind']}": 1})
        return True

    def forget(self, paths: Sequence[Path], counts: Mapping[str, int]) -> None:
        """Delete the rows of files that are about to be deleted, and add to the counters."""
        names = [path.relative_to(self.home).as_posix() for path in paths]
        with writing(self.engine) as connection:
            for at in range(0, len(names), ROWS_PER_STATEMENT):
                connection.execute(delete(ScanRow).where(ScanRow.path.in_(names[at : at + ROWS_PER_STATEMENT])))
            self._add(connection, counts)

    def usual_grid(self, product: str, time: datetime) -> str | None:
        """Return the key of the grid that most scans of a product have around a time; None without any."""
        row, near = ScanRow, (ScanRow.valid_time >= time - AROUND) & (ScanRow.valid_time <= time + AROUND)
        query = select(row.grid_key).where(row.product == product, near, row.valid_time != time)
        with reading(self.engine) as connection:
            return connection.scalar(query.group_by(row.grid_key).order_by(func.count().desc()).limit(1))

    def files_of(self, scan: Scan) -> list[str]:
        """Return the names of the ingested files that a scan was in: both are entered with the same time."""
        query = select(FileRow.name).where(FileRow.ingested_at == scan.received_at)
        with reading(self.engine) as connection:
            return list(connection.scalars(query))

    def lose(self, scan: Scan, since: datetime) -> None:
        """Delete the row of a scan whose file is lost, and those of the files it was in: these are read again.

        Where these are not known, since the catalogue was lost after they had been ingested, all of a time are.
        """
        is_known = bool(self.files_of(scan))
        files = FileRow.ingested_at == scan.received_at if is_known else FileRow.ingested_at >= since
        with writing(self.engine) as connection:
            connection.execute(
                delete(ScanRow).where(ScanRow.product == scan.product, ScanRow.valid_time == scan.valid_time)
            )
            connection.execute(delete(FileRow).where(files))
            self._add(connection, {"lost": 1})

    def last_rejected(self, name: str) -> datetime | None:
        """Return when a file of that name was rejected last; None if it never was."""
        with reading(self.engine) as connection:
            return connection.scalar(select(func.max(RejectedRow.at)).where(RejectedRow.name == name))

    def counts(self) -> dict[str, int]:
        """Return the counters since the catalogue was created."""
        with reading(self.engine) as connection:
            query = select(CountRow.what, CountRow.n).where(CountRow.what != CHANGES)
            return {row.what: row.n for row in connection.execute(query)}

    def recorded_frames(self, sha256: str, name: str) -> tuple[int, int] | None:
        """Return the numbers of observations and forecasts in an ingested file of that content and name."""
        query = select(FileRow.observations, FileRow.forecasts)
        query = query.where(FileRow.sha256 == sha256, FileRow.name == name)
        with reading(self.engine) as connection:
            row = connection.execute(query).first()
        return (row.observations, row.forecasts) if row else None

    def has_file_named(self, name: str) -> bool:
        """Return whether a file of that name was ingested."""
        with reading(self.engine) as connection:
            return connection.scalar(select(FileRow.sha256).where(FileRow.name == name).limit(1)) is not None

    def _add(self, connection: Connection, counts: Mapping[str, int]) -> None:
        rows = [{"what": what, "n": n} for what, n in counts.items() if n]
        if rows:
            connection.execute(upsert(CountRow, rows, self.engine.dialect.name, add=True))

    def set_aside(self, now: datetime) -> None:
        """Rename a corrupt SQLite file with its log files, for later inspection."""
        if not self.engine.url.database:
            raise UnavailableError("a SQLite catalogue without a file is corrupt; expected a path in the database URL")
        self.engine.dispose()  # a kept connection would go on using the file that is set aside
        path = Path(self.engine.url.database)
        log.error("the catalogue %s is corrupt; set aside, and rebuilt from the files", path)
        with translate_os_errors(self.home):
            # the log first: SQLite would play it into a new file of that name
            for part in (path.with_name(f"{path.name}-wal"), path.with_name(f"{path.name}-shm"), path):
                if part.exists():
                    part.replace(part.with_name(f"{part.name}.corrupt-{stamp(now)}"))

    def _scan(self, row: Mapping[Any, Any]) -> Scan:
        return SCAN_ROW.from_dict(row, path=self.home / row["path"])
