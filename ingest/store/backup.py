"""Second copies of the SQLite databases: what no file of the store can restore (scores, keys, jobs, alert rules).

A copy is a database of its own in `backups`, made while others write. PostgreSQL has its own backups.
"""

import logging
import sqlite3
from collections.abc import Iterator
from contextlib import closing
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Final

from sqlalchemy import Engine

from core.errors import NoDataError, UnavailableError
from core.files import write_atomically
from core.times import stamp
from ingest.store.database import BUSY_TIMEOUT_S
from ingest.store.locks import translate_os_errors

FOLDER: Final = "backups"
COPY_AFTER: Final = timedelta(hours=24)
COPIES: Final = 3
"""Kept copies of one database: damage that is found late must not have replaced the last good one."""

IN_FILES: Final = ("scans", "files", "forecasts", "heartbeats", "alembic_version")
"""Tables that the files of the store restore better than an old copy, or that are of the moment."""

log = logging.getLogger(__name__)


def file_of(engine: Engine) -> Path | None:
    """Return the file of a SQLite database; None for PostgreSQL."""
    is_file = engine.dialect.name == "sqlite" and engine.url.database
    return Path(str(engine.url.database)) if is_file else None


def copies_of(database: Path, folder: Path) -> list[Path]:
    """Return the copies of a database, the newest first."""
    return sorted(folder.glob(f"{database.stem}-*{database.suffix}"), reverse=True)


def make_copy(database: Path, folder: Path, now: datetime) -> Path:
    """Copy a sound database, and delete the oldest copies beyond `COPIES`.

    Raises:
        UnavailableError: the database is damaged or locked, or the disk refuses.
    """
    target = folder / f"{database.stem}-{stamp(now.replace(second=0, microsecond=0))}{database.suffix}"

    def write(temporary: Path) -> None:
        with (
            closing(sqlite3.connect(_address(database, "mode=ro"), uri=True, timeout=BUSY_TIMEOUT_S)) as source,
            closing(sqlite3.connect(temporary)) as copy,
        ):
            source.backup(copy)
            found = copy.execute("PRAGMA integrity_check(1)").fetchone()[0]
            if found != "ok":
                raise sqlite3.DatabaseError(f"integrity_check: {found}")

    try:
        with translate_os_errors(folder.parent):
            write_atomically(target, write, mode=database.stat().st_mode & 0o777)  # keys are for their owner alone
            for old in copies_of(database, folder)[COPIES:]:
                old.unlink(missing_ok=True)
    except sqlite3.Error as err:
        raise UnavailableError(f"no second copy of {database.name}: {type(err).__name__}: {err}") from err
    return target


def copy_when_old(database: Path, folder: Path, now: datetime | None = None) -> Path | None:
    """Copy a database whose newest copy is a day old; None where it is younger, or there is no database.

    Raises:
        UnavailableError: the database is damaged or locked, or the disk refuses.
    """
    now = now or datetime.now(UTC)
    newest = next(iter(copies_of(database, folder)), None)
    age = now - datetime.fromtimestamp(newest.stat().st_mtime, UTC) if newest else COPY_AFTER
    if not database.is_file() or timedelta() <= age < COPY_AFTER:
        return None
    return make_copy(database, folder, now)


def sound_copies(database: Path, folder: Path) -> Iterator[Path]:
    """Yield the copies that can be read, the newest first."""
    for copy in copies_of(database, folder):
        try:
            with closing(sqlite3.connect(_address(copy, "mode=ro&immutable=1"), uri=True)) as connection:
                if connection.execute("PRAGMA integrity_check(1)").fetchone()[0] == "ok":
                    yield copy
        except sqlite3.Error as err:
            log.warning("%s cannot be read: %s", copy, err)


def restore_rows(database: Path, folder: Path) -> int:
    """Add the rows of the newest sound copy that a database lacks, except those that files restore.

    Returns:
        The number of rows.

    Raises:
        NoDataError: there is no sound copy, or no database: the start of a service makes it, and restores the rows.
        UnavailableError: the database does not respond.
    """
    if not database.is_file():
        raise NoDataError(f"there is no {database}: start the service, which makes it and restores the rows itself")
    copy = next(sound_copies(database, folder), None)
    if copy is None:
        raise NoDataError(f"no sound copy of {database.name} is in {folder}")
    try:
        with closing(sqlite3.connect(database, timeout=BUSY_TIMEOUT_S, isolation_level=None)) as connection:
            connection.execute("ATTACH ? AS copy", (str(copy),))
            connection.execute("BEGIN IMMEDIATE")
            connection.execute("PRAGMA defer_foreign_keys=ON")
            added = sum(_add_rows(connection, table) for table in _tables(connection))
            connection.execute("COMMIT")
    except sqlite3.Error as err:
        raise UnavailableError(f"{copy} is not restored: {type(err).__name__}: {err}") from err
    log.warning("%d rows of scores, jobs and settings were restored from %s", added, copy)
    return added


def _address(database: Path, options: str) -> str:
    """Return the URI of a database, in which a `#` of its path is quoted."""
    return f"{database.absolute().as_uri()}?{options}"


def _tables(connection: sqlite3.Connection) -> list[str]:
    names = [
        {row[0] for row in connection.execute(f"SELECT name FROM {schema}.sqlite_master WHERE type = 'table'")}
        for schema in ("main", "copy")
    ]
    return sorted(name for name in names[0] & names[1] if name not in IN_FILES and not name.startswith("sqlite_"))


def _add_rows(connection: sqlite3.Connection, table: str) -> int:
    """Insert the rows of one table; columns that only one of the two databases has are left out."""
    columns = [
        [row[1] for row in connection.execute(f'PRAGMA {schema}.table_info("{table}")')] for schema in ("main", "copy")
    ]
    common = ", ".join(f'"{name}"' for name in columns[0] if name in columns[1])
    inserted = connection.execute(
        f'INSERT OR IGNORE INTO main."{table}" ({common}) SELECT {common} FROM copy."{table}"'
    )
    return max(0, inserted.rowcount)
