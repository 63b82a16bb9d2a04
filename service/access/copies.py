"""The databases of an installation and their second copies; keys and rules are restored on command alone."""

from pathlib import Path
from typing import Final, Literal

from core.errors import NoDataError, UnavailableError
from core.files import write_bytes_atomically
from core.settings import Settings
from ingest.store import backup
from ingest.store.locks import translate_os_errors
from service.access.keybook import FILE as KEYS

CATALOGUE: Final = "catalogue.sqlite"
RULES: Final = "rules.sqlite"
Database = Literal["catalogue", "keys", "rules"]


def databases(settings: Settings) -> dict[Database, Path]:
    """Return the files of the SQLite databases of an installation; none with a database server."""
    if settings.database_url is not None:
        return {}
    keys_home = (settings.keys_home or settings.home).resolve()
    home = settings.home.resolve()
    return {"catalogue": home / CATALOGUE, "keys": keys_home / KEYS, "rules": home / RULES}


def folder_of(settings: Settings) -> Path:
    """Return the folder of the copies."""
    return settings.home.resolve() / backup.FOLDER


def copy_when_old(settings: Settings) -> None:
    """Copy each database whose newest copy is a day old; one that fails keeps no other from being copied.

    Raises:
        UnavailableError: a database is damaged or locked, or the disk refuses; the first such error.
    """
    failed: list[UnavailableError] = []
    for database in databases(settings).values():
        try:
            backup.copy_when_old(database, folder_of(settings))
        except UnavailableError as err:
            failed.append(err)
    if failed:
        raise failed[0]


def restore_file(database: Path, folder: Path) -> Path:
    """Put the newest sound copy in place of a database, which is kept under another name; return the copy.

    Raises:
        NoDataError: there is no sound copy.
        UnavailableError: the disk refuses.
    """
    copy = next(backup.sound_copies(database, folder), None)
    if copy is None:
        raise NoDataError(f"no sound copy of {database.name} is in {folder}")
    with translate_os_errors(folder):
        for part in (Path(f"{database}-wal"), Path(f"{database}-shm"), database):
            if part.exists():
                part.replace(f"{part}.replaced")
        write_bytes_atomically(database, copy.read_bytes(), mode=0o600)
    return copy
