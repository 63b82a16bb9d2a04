"""A SQLite catalogue that is damaged or gone is replaced while the service runs, by whichever process finds out.

The damaged file is set aside, its scans are entered from their files, and what no file holds from the second copy
(`ingest.store.backup`). The service enters its forecasts again when it sees the mark that is left for it.
"""

import logging
import threading
from collections.abc import Callable
from datetime import datetime
from pathlib import Path
from typing import Final

from sqlalchemy import Engine

from core.errors import ConfigError, NoDataError
from core.times import utc_now
from ingest.file_names import EVERYTHING
from ingest.store import backup
from ingest.store.again import ask_again
from ingest.store.database import ON_LOSS, is_sound
from ingest.store.index import Index
from ingest.store.locks import REPAIR_LOCK, translate_os_errors, write_lock
from ingest.store.progress import note_rebuilt
from ingest.store.schema import is_complete, prepare
from ingest.store.shelf import Shelf

MARK: Final = "forecasts-lost"
"""File in the store that asks the service to enter its forecasts again."""

log = logging.getLogger(__name__)


def repair_when_lost(engine: Engine, home: Path, clock: Callable[[], datetime] = utc_now) -> None:
    """Let an engine of a SQLite catalogue repair it as soon as a statement finds it damaged or gone."""
    if backup.file_of(engine) is None:
        return
    busy = threading.local()

    def on_loss() -> None:
        if getattr(busy, "is_repairing", False):
            return
        busy.is_repairing = True
        try:
            repair(engine, home, clock())
        except ConfigError as err:
            log.error("the catalogue is not repaired: %s", err)
        finally:
            busy.is_repairing = False

    engine.update_execution_options(**{ON_LOSS: on_loss})


def repair(engine: Engine, home: Path, now: datetime) -> bool:
    """Replace a catalogue that is damaged or gone; False where another process has just done so.

    It does not hold the lock of the writers of scans, one of which may have found the damage.

    Raises:
        UnavailableError: the disk or the database does not respond.
        ConfigError: the schema of the file is not one that this release can use.
    """
    with write_lock(home, REPAIR_LOCK):
        engine.dispose()  # a kept connection would go on using a file that was deleted
        index = Index(home, engine)
        is_whole = is_sound(engine, thorough=True)
        if is_whole and is_complete(engine):
            return False
        if not is_whole:
            index.set_aside(now)
        prepare(engine)
        add_from_copy(engine, home, now)
        files = Shelf(home, index).read_headers()
        index.enter(files)
        with translate_os_errors(home):
            (home / MARK).touch()
    log.error("the catalogue was damaged or gone; entered again from the files of %d scans", len(files))
    return True


def add_from_copy(engine: Engine, home: Path, now: datetime) -> None:
    """Add what no file holds to a catalogue that begins empty, from its newest second copy where it is SQLite.

    What the parts of the installation do is recorded anew from now on.

    The source's files of a day are read again: which of their scans are damaged or missing was in the catalogue alone.

    Raises:
        UnavailableError: the disk or the database does not respond.
    """
    note_rebuilt(engine, now)
    with translate_os_errors(home):
        ask_again(home, [EVERYTHING])
    database = backup.file_of(engine)
    if database is None:
        return
    try:
        backup.restore_rows(database, home / backup.FOLDER)
    except NoDataError as err:
        log.error("scores and jobs are lost: %s", err)
