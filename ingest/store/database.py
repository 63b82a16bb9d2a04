"""Connections to the SQL catalogue, SQLite or PostgreSQL, from several processes at once.

SQLite runs with a write-ahead log, and a transaction that writes takes the write lock first (`writing`): a process
then waits, instead of failing with "database is locked" when a reading transaction begins to write.
"""

import sqlite3
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from functools import partial
from pathlib import Path
from time import monotonic, sleep
from typing import Any, Final
from zlib import crc32

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
from sqlalchemy.exc import ArgumentError, DatabaseError, DisconnectionError, SQLAlchemyError
from sqlalchemy.orm import DeclarativeBase
from sqlalchemy.pool import NullPool, QueuePool
from sqlalchemy.sql.dml import Insert

from core.errors import ConfigError, UnavailableError
from core.shared_files import mounted
from ingest.store.locks import DiskFullError, lock_on_all_machines

BUSY_TIMEOUT_S: Final = 30.0
"""Time that a process waits for another one's transaction; transactions here last milliseconds."""

WAL_RETRY_S: Final = 0.02
_CORRUPT_CODES: Final = (11, 26)
"""SQLITE_CORRUPT and SQLITE_NOTADB (sqlite.org/rescode.html)."""

_GONE_CODES: Final = (522, 1032)
"""SQLITE_IOERR_SHORT_READ, of a file that was cut, and SQLITE_READONLY_DBMOVED, of one that was deleted."""

NO_TABLE: Final = "no such table"
"""SQLite's message where the file was deleted, and the connection made an empty one."""

ON_LOSS: Final = "nowcast_on_loss"
"""Execution option of an engine: a function that repairs the database (`ingest.store.repair`)."""


FULL: Final = "database or disk is full"
"""SQLite's message for SQLITE_FULL."""

NO_COLUMN: Final = ("no such column", "has no column named")
"""SQLite's messages for an unknown column, which has no error code of its own."""

UNDEFINED_COLUMN: Final = "42703"
"""PostgreSQL's error code for an unknown column (appendix A of its manual)."""


def open_engine(database_url: str, *, synced: bool = False) -> Engine:
    """Return an engine whose connections several processes may use.

    Args:
        database_url: of SQLite or PostgreSQL.
        synced: a commit to SQLite is on the disk when it returns, even if the power fails then, and connections are
            kept: for a process that deletes what it stored, and does not fork. Without it, a forked process may use the
            engine too, and what was committed since the last checkpoint can be lost in a power failure.

    Raises:
        ConfigError: an invalid database URL, or one whose driver is not installed.
    """
    try:
        url = make_url(database_url)
        if url.get_backend_name() != "sqlite":
            return create_engine(url, pool_pre_ping=True)
        pool = QueuePool if synced else NullPool
        engine = create_engine(url, poolclass=pool, connect_args={"timeout": BUSY_TIMEOUT_S})
    except (ArgumentError, ImportError) as err:
        raise ConfigError(f"database URL: expected one such as postgresql+psycopg://user@host/name: {err}") from err
    event.listen(engine, "connect", _prepare_synced_sqlite if synced else _prepare_sqlite)
    event.listen(engine, "begin", _begin_sqlite)
    if synced and url.database:
        _drop_when_replaced(engine, Path(url.database))
    return engine


def _drop_when_replaced(engine: Engine, database: Path) -> None:
    """Open a connection anew whose file another process has replaced: SQLite would go on writing to the old one."""

    def identity() -> tuple[int, int] | None:
        with suppress(OSError):
            status = database.stat()
            return status.st_dev, status.st_ino
        return None

    def note(_dialect: object, record: Any, *_: object) -> None:  # before it opens, so that a change then counts, too
        if record is not None:
            record.info["file"] = identity()

    def check(_connection: object, record: Any, _proxy: object) -> None:
        now = identity()
        if (record.info.get("file") or now) != now:  # nothing was noted of a file that the connection has made
            raise DisconnectionError(f"{database.name} was replaced")

    event.listen(engine, "do_connect", note)
    event.listen(engine, "checkout", check)


def lock_by_server(home: Path, engine: Engine) -> None:
    """Let the locks of a live store be of all machines, where these have a store of files and a database server."""
    if mounted(home) is not None and engine.dialect.name == "postgresql":
        lock_on_all_machines(home, partial(_server_lock, engine))


@contextmanager
def _server_lock(engine: Engine, name: str) -> Iterator[None]:
    """Hold a lock of the database server for the block; it ends with the connection.

    Raises:
        UnavailableError: the server does not respond.
    """
    with translate_sql_errors(), engine.begin() as connection:
        connection.execute(select(func.pg_advisory_xact_lock(crc32(name.encode()))))
        yield


def open_idle_connection(engine: Engine) -> sqlite3.Connection | None:
    """Open an idle connection: without one, SQLite checkpoints its log whenever the last connection closes.

    A checkpoint costs each write two syncs of the disk. Only for a process that does not fork; None for PostgreSQL.
    """
    if engine.dialect.name != "sqlite" or not engine.url.database:
        return None
    held = sqlite3.connect(engine.url.database, timeout=BUSY_TIMEOUT_S, check_same_thread=False)
    held.execute("PRAGMA schema_version").fetchone()  # opens it in earnest
    return held


class LostCatalogueError(UnavailableError):
    """The file of the catalogue is damaged or gone; it is repaired, and the same call may succeed then."""


@contextmanager
def _repaired(engine: Engine) -> Iterator[None]:
    """Repair the database of an engine that has the option `ON_LOSS` where the block finds it lost."""
    try:
        with translate_sql_errors():
            yield
    except LostCatalogueError:
        on_loss = engine.get_execution_options().get(ON_LOSS)
        if on_loss is not None:
            on_loss()
        raise


@contextmanager
def reading(engine: Engine) -> Iterator[Connection]:
    """Open a connection for reading.

    Raises:
        UnavailableError: the database does not respond.
    """
    with _repaired(engine), engine.connect() as connection:
        yield connection


@contextmanager
def writing(engine: Engine) -> Iterator[Connection]:
    """Open a transaction that holds the write lock from its start and commits at its end.

    Raises:
        UnavailableError: the database does not respond.
    """
    with _repaired(engine), engine.execution_options(sqlite_begin="IMMEDIATE").begin() as connection:
        yield connection


@contextmanager
def translate_sql_errors() -> Iterator[None]:
    """Translate SQLAlchemy's errors: a missing column is a `ConfigError`, all others are `UnavailableError`."""
    try:
        yield
    except SQLAlchemyError as err:
        if _lacks_column(err):  # waiting does not help: the schema is another one than at the start
            raise ConfigError(f"the catalogue's schema does not fit this release: {type(err).__name__}: {err}") from err
        kind = DiskFullError if FULL in str(err) else LostCatalogueError if _is_lost(err) else UnavailableError
        raise kind("the catalogue does not respond", private=f"{type(err).__name__}: {err}") from err


def upsert(
    model: type[DeclarativeBase], rows: Sequence[Mapping[str, Any]], dialect: str, *, add: bool = False
) -> Insert:
    """Return a statement that inserts rows and replaces those with an existing primary key; with `add` it sums them.

    Raises:
        ConfigError: the database is neither SQLite nor PostgreSQL.
    """
    table = model.__table__
    assert isinstance(table, Table)
    keys = [column.name for column in table.primary_key]
    if dialect not in ("sqlite", "postgresql"):
        raise ConfigError(f"database: expected SQLite or PostgreSQL, got {dialect}")
    insert = sqlite.insert(table) if dialect == "sqlite" else postgresql.insert(table)
    renewed: dict[str, Any] = {
        column.name: column + insert.excluded[column.name] if add else insert.excluded[column.name]
        for column in table.columns
        if column.name not in keys
    }
    return insert.values([dict(row) for row in rows]).on_conflict_do_update(index_elements=keys, set_=renewed)


def is_sound(engine: Engine, *, thorough: bool = False) -> bool:
    """Return whether a SQLite file is intact (PRAGMA quick_check); True for PostgreSQL, which checks itself.

    Args:
        engine: of the database.
        thorough: compare the indexes with their tables, too.

    Raises:
        UnavailableError: the database does not respond.
    """
    if engine.dialect.name != "sqlite":
        return True
    check = "integrity_check" if thorough else "quick_check"
    try:
        with engine.connect() as connection:
            return connection.exec_driver_sql(f"PRAGMA {check}(1)").scalar() == "ok"
    except DatabaseError as err:
        if _is_lost(err):
            return False
        raise UnavailableError("the catalogue does not respond", private=str(err)) from err


def count(connection: Connection, model: type[DeclarativeBase]) -> int:
    """Return the number of rows of a table."""
    return int(connection.scalar(select(func.count()).select_from(model)) or 0)


def _is_lost(err: SQLAlchemyError) -> bool:
    """Return whether a statement failed because the file is damaged, cut or deleted."""
    original = getattr(err, "orig", None)
    code = getattr(original, "sqlite_errorcode", 0)
    is_gone = isinstance(original, sqlite3.OperationalError) and NO_TABLE in str(original)
    return code & 0xFF in _CORRUPT_CODES or code in _GONE_CODES or is_gone


def _lacks_column(err: SQLAlchemyError) -> bool:
    """Return whether a statement failed because a column is missing."""
    original = getattr(err, "orig", None)
    if getattr(original, "sqlstate", None) == UNDEFINED_COLUMN:
        return True
    return isinstance(original, sqlite3.OperationalError) and any(text in str(original) for text in NO_COLUMN)


def _prepare_sqlite(connection: Any, _record: object) -> None:
    connection.isolation_level = None  # SQLAlchemy begins the transactions, not the driver
    cursor = connection.cursor()
    cursor.execute("PRAGMA foreign_keys=ON")
    _use_wal(cursor)
    cursor.execute("PRAGMA synchronous=NORMAL")
    cursor.close()


def _prepare_synced_sqlite(connection: Any, record: object) -> None:
    _prepare_sqlite(connection, record)
    connection.execute("PRAGMA synchronous=FULL")


def _use_wal(cursor: sqlite3.Cursor) -> None:
    """Switch a file to write-ahead logging; wait for other processes, since SQLite's own timeout omits this switch."""
    ends_at = monotonic() + BUSY_TIMEOUT_S
    while True:
        try:
            if cursor.execute("PRAGMA journal_mode").fetchone()[0] != "wal":
                cursor.execute("PRAGMA journal_mode=WAL")
            return
        except sqlite3.OperationalError as err:
            if err.sqlite_errorcode != sqlite3.SQLITE_BUSY or monotonic() > ends_at:
                raise
            sleep(WAL_RETRY_S)


def _begin_sqlite(connection: Connection) -> None:
    connection.exec_driver_sql(f"BEGIN {connection.get_execution_options().get('sqlite_begin', 'DEFERRED')}")
