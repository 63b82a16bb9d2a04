"""Files of forecasts that are missing or damaged: they are set aside, and the forecasts are made again, once.

Any process may find one. The worker makes the forecasts again from the inputs that were kept with them.
"""

import json
import logging
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import Any, Final

from core.errors import NoDataError, NowcastError, UnavailableError
from core.files import DamagedFileError, check_file, damage_in
from core.shared_files import fetch_again, follow, withdraw, write_shared
from ingest.store.locks import translate_os_errors, write_lock
from ingest.store.shelf import keep_rejected
from service.forecasts.catalogue import Catalogue
from service.forecasts.records import FORECAST, StoredForecast

FOLDER: Final = ".again"
"""One file for each forecast that is to be made again, with its record."""

FOLLOWED_EVERY_S: Final = 30.0
"""How often the worker looks for what other machines found."""

MOST: Final = 3
"""Attempts to make a forecast again that may end with their process."""

log = logging.getLogger(__name__)


class ForecastHealing:
    """Sets aside what is lost of the forecasts of one live store."""

    def __init__(self, catalogue: Catalogue) -> None:
        self._catalogue = catalogue
        self._folder = catalogue.folder / FOLDER

    def set_aside(self, damaged: DamagedFileError) -> bool:
        """Move a damaged file to the quarantine; a forecast loses its row, and is to be made again.

        Returns:
            False where nothing is to be done: the file is of no forecast, or was replaced or deleted meanwhile.

        Raises:
            UnavailableError: the disk or the database failed; a repetition is safe.
        """
        path, home = damaged.path, self._catalogue.folder.parent
        if self._catalogue.folder not in path.parents:
            return False
        with write_lock(home), translate_os_errors(home):
            if not _is_damaged(path):
                return False
            keep_rejected(home, path.read_bytes(), path.name, str(damaged), datetime.now(UTC))
            self._lose(path.stem)
            path.unlink(missing_ok=True)
            withdraw([path])
        log.error("set aside: %s", damaged)
        return True

    def lose(self, forecast: StoredForecast) -> None:
        """Note that a forecast is to be made again, since its file is missing although it has a row."""
        home = self._catalogue.folder.parent
        with write_lock(home), translate_os_errors(home):
            if not forecast.has_file and self._lose(forecast.id):
                log.error("the file of forecast %s is missing", forecast.id)

    @contextmanager
    def noticing(self) -> Iterator[None]:
        """Set aside the damaged file that a failure of the block is about.

        Raises:
            UnavailableError: instead of that failure: a repetition may succeed.
        """
        try:
            yield
        except (NowcastError, OSError) as err:
            damaged = damage_in(err)
            if damaged is None:
                raise
            self.set_aside(damaged)
            raise UnavailableError(f"{damaged}; it was set aside") from err

    @contextmanager
    def passing_over(self, what: str) -> Iterator[None]:
        """Set aside the file that fails the block, and go on after it: one bad file keeps no other one waiting.

        Args:
            what: is not done in the block, for the log.

        Raises:
            UnavailableError: the failure is about no file: no other one could be read either.
        """
        try:
            with self.noticing():
                yield
        except (UnavailableError, NoDataError, OSError, LookupError, ValueError, RuntimeError) as err:
            if isinstance(err, UnavailableError) and damage_in(err) is None:
                raise
            log.warning("%s is not scored: %s: %s", what, type(err).__name__, err)

    def make_again(self, make: Callable[[StoredForecast], bool]) -> int:
        """Make the lost forecasts again, each once; one that cannot be made keeps no other one waiting.

        The note of a forecast goes when it is made or cannot be made. It stays where the process ends meanwhile, for
        `MOST` attempts, and where the disk or the database fails, for any number.

        Args:
            make: makes a forecast; False where it has nothing to make it from.

        Returns:
            Number of forecasts made.

        Raises:
            UnavailableError: the disk or the database failed; a later call goes on.
        """
        follow(self._folder, FOLLOWED_EVERY_S)
        made = 0
        for note in sorted(self._folder.glob("[!.]*")) if self._folder.is_dir() else ():
            try:
                found = json.loads(note.read_text())
                forecast = FORECAST.from_attributes(found["attributes"], path=self._catalogue.folder / found["path"])
                attempts = int(found.get("attempts", 0))
            except (OSError, ValueError, KeyError, TypeError, NoDataError) as err:
                log.warning("%s is no note of a forecast: %s", note, err)
            else:
                made += self._attempt(note, found, attempts, partial(make, forecast))
            withdraw([note])
            note.unlink(missing_ok=True)
        return made

    def _attempt(self, note: Path, found: dict[str, Any], attempts: int, make: Callable[[], bool]) -> bool:
        """Return whether a forecast was made; the attempt is noted before it begins.

        Raises:
            UnavailableError: the disk or the database failed; the attempt does not count.
        """
        if attempts >= MOST:
            log.error("forecast %s is not made again: %d attempts ended with their process", note.name, attempts)
            return False
        write_shared(note, json.dumps({**found, "attempts": attempts + 1}).encode())
        try:
            is_made = make()
        except UnavailableError:
            with suppress(UnavailableError, OSError):
                write_shared(note, json.dumps(found).encode())
            raise
        except (NowcastError, LookupError, ValueError, RuntimeError) as err:
            log.warning("forecast %s is not made again: %s: %s", note.name, type(err).__name__, err)
            return False
        if not is_made:
            log.warning("forecast %s is not made again: its inputs are lost too", note.name)
        return is_made

    def _lose(self, forecast_id: str) -> bool:
        """Note a forecast that is to be made again, and delete its row; False for any other file."""
        found = self._catalogue.row_of(forecast_id)
        if found is None:
            return False
        path, attributes = found
        write_shared(self._folder / forecast_id, json.dumps({"path": path, "attributes": attributes}).encode())
        self._catalogue.forget([forecast_id])
        return True


def _is_damaged(path: Path) -> bool:
    """Return whether a file that was reported as damaged still is; one without a checksum is."""
    try:
        return not check_file(path)
    except DamagedFileError:
        return not fetch_again(path)
    except OSError:
        return False
