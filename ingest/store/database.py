"""Connections to the SQL catalogue: any SQLAlchemy database, several processes at once.

SQLite runs with a write-ahead log, and what writes takes the write lock first (`writing`), so that a process waits for
its turn instead of failing with "database is locked" when it turns from reading to writing.
"""

import sqlite3
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any, Final

from sqlalchemy import (
    Connection,
    Engine,
    Table,
    create_engine,
    event,
    func,
    select,
)
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.engine import make_url
from sqlalchemy.exc import ArgumentError, DatabaseError, SQLAlchemyError
from sqlalchemy.orm import DeclarativeBase
from sqlalchemy.pool import NullPool
from sqlalchemy.sql.dml import Insert

from core.errors import ConfigError, UnavailableError
from ingest.store.locks import DiskFullError

BUSY_TIMEOUT_S: Final = 30.0
"""How long a process waits for another one's transaction; transactions here last milliseconds."""

_CORRUPT_CODES: Final = (11, 26)
"""SQLITE_CORRUPT and SQLITE_NOTADB (sqlite.org/rescode.html)."""


FULL: Final = "database or disk is full"
"""SQLITE_FULL in words."""

NO_COLUMN: Final = ("no such column", "has no column named")
"""SQLite has no code of its own for it."""

UNDEFINED_COLUMN: Final = "42703"
"""PostgreSQL, appendix A (error codes)."""


def open_engine(database_url: str) -> Engine:
    """An engine whose connections are ready for several processes, forked ones too.

    Raises:
        ConfigError: not a database URL, or one whose driver is not installed.
    """
    try:
        url = make_url(database_url)
        if url.get_backend_name() != "sqlite":
            return create_engine(url, pool_pre_ping=True)
        engine = create_engine(url, poolclass=NullPool, connect_args={"timeout": BUSY_TIMEOUT_S})
    except (ArgumentError, ImportError) as err:
        raise ConfigError(f"database URL: {err}; one like postgresql+psycopg://user@host/name was due") from err
    event.listen(engine, "connect", _prepare_sqlite)
    event.listen(engine, "begin", _begin_sqlite)
    return engine


def held_open(engine: Engine) -> sqlite3.Connection | None:
    """A connection that only stays: without one, SQLite folds its log into the file whenever the last one closes.

    That costs every single write two syncs of the disk. For a process that forks no other; None for another database.
    """
    if engine.dialect.name != "sqlite" or not engine.url.database:
        return None
    held = sqlite3.connect(engine.url.database, timeout=BUSY_TIMEOUT_S, check_same_thread=False)
    held.execute("PRAGMA schema_version").fetchone()  # opens it in earnest
    return held


@contextmanager
def reading(engine: Engine) -> Iterator[Connection]:
    """A connection to read from.

    Raises:
        UnavailableError: the database does not answer.
    """
    with translated(), engine.connect() as connection:
        yield connection


@contextmanager
def writing(engine: Engine) -> Iterator[Connection]:
    """A transaction that holds the write lock from its start and commits at its end.

    Raises:
        UnavailableError: the database does not answer.
    """
    with translated(), engine.execution_options(sqlite_begin="IMMEDIATE").begin() as connection:
        yield connection


@contextmanager
def translated() -> Iterator[None]:
    """Translate SQLAlchemy's errors: a missing column is a `ConfigError`, all others are `UnavailableError`."""
    try:
        yield
    except SQLAlchemyError as err:
        if _lacks_column(err):  # waiting does not help: the schema is another one than at the start
            raise ConfigError(f"the catalogue's schema does not fit this release: {type(err).__name__}: {err}") from err
        kind = DiskFullError if FULL in str(err) else UnavailableError
        raise kind(f"the catalogue does not answer: {type(err).__name__}: {err}") from err


def upsert(
    model: type[DeclarativeBase], rows: Sequence[Mapping[str, Any]], dialect: str, *, add: bool = False
) -> Insert:
    """Insert rows, or renew those whose primary key is there already; `add` sums their numbers up instead.

    Raises:
        ConfigError: a database for which no such statement is known.
    """
    table = model.__table__
    assert isinstance(table, Table)
    keys = [column.name for column in table.primary_key]
    if dialect not in ("sqlite", "postgresql"):
        raise ConfigError(f"database {dialect}; SQLite or PostgreSQL was due")
    insert = sqlite.insert(table) if dialect == "sqlite" else postgresql.insert(table)
    renewed: dict[str, Any] = {
        column.name: column + insert.excluded[column.name] if add else insert.excluded[column.name]
        for column in table.columns
        if column.name not in keys
    }
    return insert.values([dict(row) for row in rows]).on_conflict_do_update(index_elements=keys, set_=renewed)


def is_sound(engine: Engine) -> bool:
    """Whether a SQLite file is a whole database (PRAGMA quick_check); other databases look after themselves.

    Raises:
        UnavailableError: it could not be asked.
    """
    if engine.dialect.name != "sqlite":
        return True
    try:
        with engine.connect() as connection:
            return connection.exec_driver_sql("PRAGMA quick_check(1)").scalar() == "ok"
    except DatabaseError as err:
        if getattr(err.orig, "sqlite_errorcode", 0) & 0xFF in _CORRUPT_CODES:
            return False
        raise UnavailableError(f"the catalogue does not answer: {err}") from err


def count(connection: Connection, model: type[DeclarativeBase]) -> int:
    """Rows of a table."""
    return int(connection.scalar(select(func.count()).select_from(model)) or 0)


def _lacks_column(err: SQLAlchemyError) -> bool:
    """Whether a statement names a column that its table does not have."""
    original = getattr(err, "orig", None)
    if getattr(original, "sqlstate", None) == UNDEFINED_COLUMN:
        return True
    return isinstance(original, sqlite3.OperationalError) and any(text in str(original) for text in NO_COLUMN)


def _prepare_sqlite(connection: Any, _record: object) -> None:
    connection.isolation_level = None  # SQLAlchemy begins the transactions, not the driver
    cursor = connection.cursor()
    cursor.execute("PRAGMA foreign_keys=ON")
    if cursor.execute("PRAGMA journal_mode").fetchone()[0] != "wal":
        cursor.execute("PRAGMA journal_mode=WAL")
    cursor.execute("PRAGMA synchronous=NORMAL")
    cursor.close()


def _begin_sqlite(connection: Connection) -> None:
    connection.exec_driver_sql(f"BEGIN {connection.get_execution_options().get('sqlite_begin', 'DEFERRED')}")
