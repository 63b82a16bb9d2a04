"""What the catalogue knows: which scans are stored, and which files went in to their end."""

import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any, Final

from sqlalchemy import Connection, Engine, delete, func, select

from core.errors import UnavailableError
from core.records import RecordCodec
from core.times import stamp
from ingest.store.database import count, is_sound, open_engine, reading, upsert, writing
from ingest.store.locks import translate_os_errors
from ingest.store.quality import QualityFacts
from ingest.store.scanfile import ScanHeader
from ingest.store.schema import prepare
from ingest.store.tables import CountRow, FileRow, RejectedRow, ScanRow

ROWS_PER_STATEMENT: Final = 500
SUMS: Final = ("RW", "SF", "RQ")
"""Rain of an hour or a day: no forecast starts from it."""

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Scan:
    """One stored observation as the catalogue knows it; `Store.load` reads its field."""

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
    """The catalogue's tables of one live store; paths are kept relative to `home`, so that the folder can move."""

    def __init__(self, home: Path, database_url: str) -> None:
        self.home = home
        self.engine: Engine = open_engine(database_url)

    def open(self, now: datetime) -> None:
        """Create or upgrade the tables; a corrupt SQLite file is set aside first, so that they are empty then.

        Raises:
            ConfigError: the schema is not one that this release can use.
            UnavailableError: the database does not answer.
        """
        if not is_sound(self.engine):
            self._set_aside(now)
        prepare(self.engine)

    def __len__(self) -> int:
        with reading(self.engine) as connection:
            return count(connection, ScanRow)

    def scans(
        self, *, product: str | None = None, start: datetime | None = None, end: datetime | None = None
    ) -> list[Scan]:
        """Scans in ascending time, both ends included."""
        query = select(ScanRow.__table__).order_by(ScanRow.valid_time, ScanRow.product)
        query = query.where(ScanRow.product == product) if product is not None else query
        query = query.where(ScanRow.valid_time >= start) if start is not None else query
        query = query.where(ScanRow.valid_time <= end) if end is not None else query
        with reading(self.engine) as connection:
            return [self._scan(row._mapping) for row in connection.execute(query)]

    def latest(self, product: str | None = None) -> Scan | None:
        """The newest scan, or None where there is none; a sum of hours only where there is nothing else."""
        newest = (ScanRow.product.in_(SUMS), ScanRow.valid_time.desc(), ScanRow.received_at.desc())
        query = select(ScanRow.__table__).order_by(*newest).limit(1)
        query = query.where(ScanRow.product == product) if product is not None else query
        with reading(self.engine) as connection:
            row = connection.execute(query).first()
        return self._scan(row._mapping) if row else None

    def products(self) -> list[str]:
        """Products of which there are scans."""
        with reading(self.engine) as connection:
            return list(connection.scalars(select(ScanRow.product).distinct().order_by(ScanRow.product)))

    def scan_of(self, product: str, valid_time: datetime) -> Scan | None:
        """The scan of a product and time."""
        found = self.scans(product=product, start=valid_time, end=valid_time)
        return found[0] if found else None

    def enter(
        self,
        scans: Sequence[tuple[Path, ScanHeader]],
        *,
        file: Mapping[str, Any] | None = None,
        counts: Mapping[str, int] | None = None,
        anew: bool = False,
    ) -> None:
        """Rows of stored files, all or none.

        Args:
            scans: the files and what they say of themselves.
            file: the `FileRow` of the file that brought them.
            counts: what to count with it.
            anew: forget every other scan, and the ingested files.
        """
        rows = [{**HEADER_ROW.to_row(header), "path": path.relative_to(self.home).as_posix()} for path, header in scans]
        with writing(self.engine) as connection:
            if anew:
                connection.execute(delete(ScanRow))
                connection.execute(delete(FileRow))
            for at in range(0, len(rows), ROWS_PER_STATEMENT):
                some = rows[at : at + ROWS_PER_STATEMENT]
                connection.execute(upsert(ScanRow, some, self.engine.dialect.name))
            if file is not None:
                connection.execute(upsert(FileRow, [file], self.engine.dialect.name))
            self._add(connection, counts or {})

    def remember(self, row: Mapping[str, Any]) -> None:
        """Enter a `FileRow`."""
        self.enter([], file=row)

    def reject(self, row: Mapping[str, Any]) -> bool:
        """Enter a `RejectedRow` and count it; False where it is there already."""
        known = (RejectedRow.sha256 == row["sha256"]) & (RejectedRow.name == row["name"])
        with writing(self.engine) as connection:
            if connection.scalar(select(func.count()).select_from(RejectedRow).where(known)):
                return False
            connection.execute(upsert(RejectedRow, [row], self.engine.dialect.name))
            self._add(connection, {f"rejected:{row['kind']}": 1})
        return True

    def forget(self, paths: Sequence[Path], counts: Mapping[str, int]) -> None:
        """Take the scans of files out that are about to be deleted, and count what is deleted."""
        names = [path.relative_to(self.home).as_posix() for path in paths]
        with writing(self.engine) as connection:
            for at in range(0, len(names), ROWS_PER_STATEMENT):
                connection.execute(delete(ScanRow).where(ScanRow.path.in_(names[at : at + ROWS_PER_STATEMENT])))
            self._add(connection, counts)

    def counts(self) -> dict[str, int]:
        """How often each thing happened since the catalogue was made."""
        with reading(self.engine) as connection:
            return {row.what: row.n for row in connection.execute(select(CountRow.what, CountRow.n))}

    def remembered(self, sha256: str, name: str) -> tuple[int, int] | None:
        """Observations and forecasts in an ingested file of that content and name."""
        query = select(FileRow.observations, FileRow.forecasts)
        query = query.where(FileRow.sha256 == sha256, FileRow.name == name)
        with reading(self.engine) as connection:
            row = connection.execute(query).first()
        return (row.observations, row.forecasts) if row else None

    def remembers_name(self, name: str) -> bool:
        """Whether a file of that name was ingested."""
        with reading(self.engine) as connection:
            return connection.scalar(select(FileRow.sha256).where(FileRow.name == name).limit(1)) is not None

    def _add(self, connection: Connection, counts: Mapping[str, int]) -> None:
        rows = [{"what": what, "n": n} for what, n in counts.items() if n]
        if rows:
            connection.execute(upsert(CountRow, rows, self.engine.dialect.name, add=True))

    def _set_aside(self, now: datetime) -> None:
        """Rename a corrupt SQLite file with what belongs to it, for whoever wants to look into it."""
        if not self.engine.url.database:
            raise UnavailableError("a SQLite catalogue without a file is corrupt; a path was due")
        path = Path(self.engine.url.database)
        log.error("the catalogue %s is corrupt; set aside, and made anew from the files", path)
        with translate_os_errors(self.home):
            for part in (path, path.with_name(f"{path.name}-wal"), path.with_name(f"{path.name}-shm")):
                if part.exists():
                    part.replace(part.with_name(f"{part.name}.corrupt-{stamp(now)}"))

    def _scan(self, row: Mapping[Any, Any]) -> Scan:
        return SCAN_ROW.from_dict(row, path=self.home / row["path"])
