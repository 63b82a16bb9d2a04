"""Schema revision of a database: checked at every start, upgraded if it is older, refused if it is newer.

The whole upgrade is one transaction that holds the database's write lock: of several processes that start at once,
one upgrades and the others find the new schema; a crash leaves the old one.
"""

import logging
import sqlite3
import threading
from contextlib import closing, suppress
from datetime import UTC, datetime
from pathlib import Path
from typing import Final

from sqlalchemy import Connection, Engine, Table, inspect

from core.errors import ConfigError, UnavailableError
from core.files import write_atomically
from core.times import stamp
from ingest.store.database import open_engine, reading, writing
from ingest.store.locks import translate_os_errors
from ingest.store.tables import Base

MIGRATIONS: Final = Path(__file__).with_name("migrations")
VERSION_TABLE: Final = "alembic_version"
UNVERSIONED: Final = "0001"
"""Revision of the tables of release 0.1.0, which stored no revision."""

REBUILT_FROM_FILES: Final = ("scans", "forecasts")
"""Tables that may be emptied: `Store` and `Catalogue` rebuild them from the files when they open."""

LOCK_KEY: Final = 0x6E6F7763
"""Key of PostgreSQL's advisory lock: "nowc" in ASCII, which other programs are unlikely to use."""

ONE_THREAD: Final = threading.Lock()
"""Lock of an upgrade, since Alembic keeps its environment in module variables."""

log = logging.getLogger(__name__)


def known_revisions() -> tuple[str, ...]:
    """Return the revisions that this release knows, ascending."""
    files = (MIGRATIONS / "versions").glob("revision_*.py")
    return tuple(sorted(path.stem.removeprefix("revision_") for path in files))


def prepare(engine: Engine) -> None:
    """Create the tables of an empty database, or upgrade those of an earlier release and keep a copy of a SQLite file.

    Raises:
        ConfigError: the schema is of a newer release, or has unexpected columns.
        UnavailableError: the database does not respond, or the disk is too full for the copy.
    """
    known = known_revisions()
    with reading(engine) as connection:
        found = revision_of(connection)
    if found != known[-1]:
        with ONE_THREAD, writing(engine) as connection:
            _upgrade(connection, known)
    check_columns(engine)


def is_complete(engine: Engine) -> bool:
    """Return whether a database has the tables of this release's revision.

    Raises:
        UnavailableError: the database does not respond.
    """
    with reading(engine) as connection:
        there = set(inspect(connection).get_table_names())
        return revision_of(connection) == known_revisions()[-1] and there >= set(Base.metadata.tables)


def check_before_start(database_url: str) -> None:
    """Check that this release can use or upgrade a database, and change no table.

    A process calls it before it serves, so that a schema which it will never understand stops the start. A database
    that does not exist or does not respond passes: opening it creates it, retries, or sets a corrupt file aside.

    Raises:
        ConfigError: the schema is of a newer release, or lacks columns of its own revision.
    """
    engine = open_engine(database_url)
    try:
        if engine.dialect.name == "sqlite" and not Path(engine.url.database or "").is_file():
            return
        with suppress(UnavailableError), reading(engine) as connection:
            found, known = revision_of(connection), known_revisions()
            if found is not None and found not in known:
                raise _unknown_revision(engine, found, known)
            if found == known[-1]:
                _missing_tables(engine, connection)
    finally:
        engine.dispose()


def revision_of(connection: Connection) -> str | None:
    """Return the stored revision; None for an empty database and for one of release 0.1.0."""
    if not inspect(connection).has_table(VERSION_TABLE):
        return None
    found = connection.exec_driver_sql(f"SELECT version_num FROM {VERSION_TABLE}").scalar()
    return None if found is None else str(found)


def check_columns(engine: Engine) -> None:
    """Check that the database has all columns this process uses; empty outdated tables that files can restore.

    Raises:
        ConfigError: a table or a column is missing, and its rows cannot be restored from files.
    """
    with reading(engine) as connection:
        outdated = _missing_tables(engine, connection)
    for table in outdated:
        log.warning("%s: table %s lacks columns; it is rebuilt from the files", name_of(engine), table.name)
        with writing(engine) as connection:
            table.drop(connection, checkfirst=True)
            table.create(connection)


def _missing_tables(engine: Engine, connection: Connection) -> list[Table]:
    """Return the tables that lack columns and can be rebuilt from files; refuse other tables that lack some."""
    inspector = inspect(connection)
    there = set(inspector.get_table_names())
    outdated = []
    for table in Base.metadata.sorted_tables:
        found = {column["name"] for column in inspector.get_columns(table.name)} if table.name in there else set()
        missing = [column.name for column in table.columns if column.name not in found]
        if missing and table.name not in REBUILT_FROM_FILES:
            raise ConfigError(
                f"{name_of(engine)}: table {table.name} lacks the columns {', '.join(missing)} of schema revision "
                f"{known_revisions()[-1]}; restore a copy of the catalogue, or move it away to start an empty one"
            )
        outdated += [table] if missing else []
    return outdated


def _unknown_revision(engine: Engine, found: str, known: tuple[str, ...]) -> ConfigError:
    return ConfigError(
        f"{name_of(engine)} has schema revision {found}; this release knows {known[0]} to {known[-1]}: "
        "start the release that made it, or restore the copy that was kept at its upgrade"
    )


def name_of(engine: Engine) -> str:
    """Return the database's address without its password, for messages."""
    return f"catalogue {engine.url.render_as_string(hide_password=True)}"


def _upgrade(connection: Connection, known: tuple[str, ...]) -> None:
    """Run the missing revisions within the transaction of `connection`."""
    if connection.dialect.name == "postgresql":
        connection.exec_driver_sql(f"SELECT pg_advisory_xact_lock({LOCK_KEY})")
    found = revision_of(connection)  # again: another process may have upgraded while this one waited for the lock
    if found == known[-1]:
        return
    if found is not None and found not in known:
        raise _unknown_revision(connection.engine, found, known)
    if found or set(inspect(connection).get_table_names()) & set(Base.metadata.tables):
        before = found or UNVERSIONED
        log.warning("upgrading %s from schema revision %s to %s", name_of(connection.engine), before, known[-1])
        _keep_copy(connection.engine, before)
    migrate(connection)


def migrate(connection: Connection, revision: str = "head") -> None:
    """Run the revisions up to `revision` within the transaction of `connection`."""
    # Imported here, since that takes 0.2 s, which only a start with another revision needs.
    from alembic import command
    from alembic.config import Config

    config = Config()
    config.set_main_option("script_location", str(MIGRATIONS))
    config.set_main_option("path_separator", "os")
    config.attributes["connection"] = connection
    command.upgrade(config, revision)


def _keep_copy(engine: Engine, revision: str) -> None:
    """Copy a SQLite file to `catalogue.sqlite.0001.bak` while the write lock keeps others from changing it."""
    if engine.dialect.name != "sqlite" or not engine.url.database:
        log.warning("no copy of %s is kept: PostgreSQL's own backups are the way back", name_of(engine))
        return
    source = Path(engine.url.database)
    target = source.with_name(f"{source.name}.{revision}.bak")
    if target.exists():
        target = source.with_name(f"{source.name}.{revision}.{stamp(datetime.now(UTC).replace(second=0))}.bak")

    def write(temporary: Path) -> None:
        with closing(sqlite3.connect(source)) as database, closing(sqlite3.connect(temporary)) as copy:
            database.backup(copy)

    with translate_os_errors(source.parent):
        write_atomically(target, write)
        target.chmod(source.stat().st_mode)  # API keys are for their owner alone
    log.warning("a copy of it is kept: %s", target)
