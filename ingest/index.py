"""What the catalogue knows: which scans are stored, and which files went in to their end."""

import logging
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from datetime import datetime
from pathlib import Path
from typing import Any, Final

from sqlalchemy import Engine, delete, select

from core.errors import UnavailableError
from ingest.catalogue import Base, FileRow, ScanRow, count, is_sound, open_engine, reading, translated, upsert, writing
from ingest.scanfile import ScanHeader, stamp
from ingest.turns import storing

ROWS_PER_STATEMENT: Final = 500
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


class Index:
    """The catalogue's tables of one live store; paths are kept relative to `home`, so that the folder can move."""

    def __init__(self, home: Path, database_url: str) -> None:
        self.home = home
        self.engine: Engine = open_engine(database_url)

    def open(self, now: datetime) -> None:
        """Make the tables; a corrupt SQLite file is set aside first, so that they are empty then.

        Raises:
            UnavailableError: the database does not answer.
        """
        if not is_sound(self.engine):
            self._set_aside(now)
        with translated():
            Base.metadata.create_all(self.engine)

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
        """The newest scan, or None where there is none."""
        query = select(ScanRow.__table__).order_by(ScanRow.valid_time.desc(), ScanRow.received_at.desc()).limit(1)
        query = query.where(ScanRow.product == product) if product is not None else query
        with reading(self.engine) as connection:
            row = connection.execute(query).first()
        return self._scan(row._mapping) if row else None

    def products(self) -> list[str]:
        """Products of which there are scans."""
        with reading(self.engine) as connection:
            return list(connection.scalars(select(ScanRow.product).distinct().order_by(ScanRow.product)))

    def sha256_of(self, product: str, valid_time: datetime) -> str | None:
        """The content of the scan of a product and time."""
        query = select(ScanRow.sha256).where(ScanRow.product == product, ScanRow.valid_time == valid_time)
        with reading(self.engine) as connection:
            return connection.scalar(query)

    def enter(self, scans: Sequence[tuple[Path, ScanHeader]], *, anew: bool = False) -> None:
        """Rows of stored files, all or none; `anew` forgets everything else, the ingested files too."""
        rows = [{**asdict(header), "path": path.relative_to(self.home).as_posix()} for path, header in scans]
        with writing(self.engine) as connection:
            if anew:
                connection.execute(delete(ScanRow))
                connection.execute(delete(FileRow))
            for at in range(0, len(rows), ROWS_PER_STATEMENT):
                some = rows[at : at + ROWS_PER_STATEMENT]
                connection.execute(upsert(ScanRow, some, self.engine.dialect.name))

    def remember(self, row: Mapping[str, Any]) -> None:
        """Enter a `FileRow`."""
        with writing(self.engine) as connection:
            connection.execute(upsert(FileRow, [row], self.engine.dialect.name))

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

    def _set_aside(self, now: datetime) -> None:
        """Rename a corrupt SQLite file with what belongs to it, for whoever wants to look into it."""
        if not self.engine.url.database:
            raise UnavailableError("a SQLite catalogue without a file is corrupt; a path was due")
        path = Path(self.engine.url.database)
        log.error("the catalogue %s is corrupt; set aside, and made anew from the files", path)
        with storing(self.home):
            for part in (path, path.with_name(f"{path.name}-wal"), path.with_name(f"{path.name}-shm")):
                if part.exists():
                    part.replace(part.with_name(f"{part.name}.corrupt-{stamp(now)}"))

    def _scan(self, row: Mapping[Any, Any]) -> Scan:
        values = {**row, "path": self.home / row["path"], "missing_radars": tuple(row["missing_radars"])}
        return Scan(**values)
