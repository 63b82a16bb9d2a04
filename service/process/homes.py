"""Live stores of `nowcast run`: one is held by one tree alone, and commands find the one that is held."""

import fcntl
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

from core.errors import ConfigError

LOCK: Final = "run.lock"
INVENTED: Final = "invented"
REPLAY: Final = "replay"
"""Folders of NOWCAST_HOME with the live stores of invented days and of replays."""


@contextmanager
def alone_in(home: Path) -> Iterator[None]:
    """Hold the live store for this tree alone.

    Raises:
        ConfigError: another tree holds it.
    """
    home.mkdir(parents=True, exist_ok=True)
    with (home / LOCK).open("a+") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as err:
            raise ConfigError(f"another service.run works in {home}; stop it, or set NOWCAST_HOME to another") from err
        file.truncate(0)
        file.write(f"{os.getpid()}\n")
        file.flush()
        yield


def homes_below(home: Path) -> list[Path]:
    """Return the live stores of the invented day and of replays in a home, the newest replay last."""
    return [folder for folder in (home / INVENTED, *sorted((home / REPLAY).glob("*"))) if folder.is_dir()]


def running_home(home: Path) -> Path:
    """Return the live store in which `nowcast run` works: this home, else one below it; this home if none is held.

    Raises:
        ConfigError: services work in several below it.
    """
    if _is_held(home):
        return home
    held = [folder for folder in homes_below(home) if _is_held(folder)]
    if len(held) > 1:
        names = " and ".join(map(str, held))
        raise ConfigError(f"expected one running service, got those in {names}; name one of them in NOWCAST_HOME")
    return held[0] if held else home


def _is_held(home: Path) -> bool:
    try:
        with (home / LOCK).open() as file:
            fcntl.flock(file, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    except OSError:
        return False  # no service has worked there, or it is another user's
    return False
