"""The rows of an installation's databases as JSON lines, out of SQLite or PostgreSQL and into either."""

import json
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime
from itertools import islice
from typing import Any, Final, Self

from sqlalchemy import Connection, Engine, Table, delete, func, insert, select, text

from core.errors import NoDataError
from core.settings import Settings
from ingest.store.backup import file_of
from ingest.store.database import open_engine, reading, translate_sql_errors, writing
from ingest.store.schema import prepare
from ingest.store.tables import Base, UtcDateTime
from service.access.keybook import KeyBook, KeyRow
from service.alerts.rulebook import rules_url
from service.alerts.tables import RuleRow
from service.forecasts.tables import ForecastRow
from service.tasks.jobbook import JobRow as JobRow

LEFT_OUT: Final = ("scans", "files", ForecastRow.__tablename__, "heartbeats")
"""Tables that are made again from the files of the store, and one of the moment."""

BATCH: Final = 1000


@dataclass(frozen=True)
class Databases:
    """The databases of an installation; with a server all three are the same one."""

    catalogue: Engine
    keys: Engine
    rules: Engine

    @classmethod
    def of_settings(cls, settings: Settings, *, create: bool) -> Self:
        """Open the databases.

        Args:
            settings: of the installation.
            create: make databases that do not exist, and upgrade those of an earlier release.

        Raises:
            NoDataError: there is no catalogue.
            ConfigError: the schema is not one that this release can use.
            UnavailableError: a database does not respond.
        """
        catalogue = open_engine(settings.catalogue_url)
        file = file_of(catalogue)
        if not create and file is not None and not file.is_file():
            raise NoDataError(f"there is no catalogue {file}: NOWCAST_HOME names another folder, or nothing is stored")
        settings.home.mkdir(parents=True, exist_ok=True)
        is_server = settings.database_url is not None
        rules = catalogue if is_server else open_engine(rules_url(settings))
        for engine in (catalogue, rules):
            prepare(engine)
        return cls(catalogue, catalogue if is_server else KeyBook.from_settings(settings).engine, rules)

    def close(self) -> None:
        """Close the connections."""
        for engine in (self.catalogue, self.keys, self.rules):
            engine.dispose()

    def parts(self) -> Sequence[tuple[Engine, Sequence[Table]]]:
        """Return each database with its tables, those first that others refer to."""
        tables = [table for table in Base.metadata.sorted_tables if table.name not in LEFT_OUT]
        engines = list(dict.fromkeys((self.catalogue, self.keys, self.rules)))
        return [(engine, [table for table in tables if self._engine_of(table) is engine]) for engine in engines]

    def _engine_of(self, table: Table) -> Engine:
        if table.name == KeyRow.__tablename__:
            return self.keys
        is_of_rules = table.name == RuleRow.__tablename__ or table.name.startswith("rule_")
        return self.rules if is_of_rules else self.catalogue


@contextmanager
def snapshot(engine: Engine) -> Iterator[Connection]:
    """Open a transaction that sees one state of a database, whatever others write meanwhile.

    Raises:
        UnavailableError: the database does not respond.
    """
    if engine.dialect.name == "sqlite":
        with reading(engine) as connection:
            yield connection
        return
    with translate_sql_errors(), engine.connect() as held:
        yield held.execution_options(isolation_level="REPEATABLE READ")


def lines_of(connection: Connection, table: Table) -> Iterator[bytes]:
    """Yield the rows of a table, each a JSON object on a line."""
    for row in connection.execution_options(yield_per=BATCH).execute(select(table)):
        yield json.dumps(dict(row._mapping), default=datetime.isoformat, separators=(",", ":")).encode() + b"\n"


def fill(engine: Engine, tables: Sequence[Table], lines: dict[str, Iterable[bytes]]) -> int:
    """Replace the rows of tables in one transaction; return their number.

    Raises:
        UnavailableError: the database does not respond.
    """
    count = 0
    with writing(engine) as connection:
        for table in reversed(tables):
            connection.execute(delete(table))
        for table in tables:
            rows = (_row(table, line) for line in lines.get(table.name, ()))
            while batch := list(islice(rows, BATCH)):
                connection.execute(insert(table), batch)
                count += len(batch)
            _continue_numbers(connection, table)
    return count


def is_empty(engine: Engine, tables: Sequence[Table]) -> bool:
    """Return whether none of the tables has a row."""
    with reading(engine) as connection:
        return all(connection.execute(select(table).limit(1)).first() is None for table in tables)


def _row(table: Table, line: bytes) -> dict[str, Any]:
    row: dict[str, Any] = json.loads(line)
    times = [column.name for column in table.columns if isinstance(column.type, UtcDateTime)]
    return row | {name: datetime.fromisoformat(row[name]) for name in times if row[name] is not None}


def _continue_numbers(connection: Connection, table: Table) -> None:
    """Let the server number new rows after the restored ones; SQLite does so by itself."""
    column = table.autoincrement_column
    if connection.dialect.name == "sqlite" or column is None:
        return
    sequence = connection.scalar(
        text("SELECT pg_get_serial_sequence(:table, :column)"), {"table": table.name, "column": column.name}
    )
    highest = connection.scalar(select(func.max(column)))
    if sequence and highest:
        connection.execute(select(func.setval(sequence, highest)))
