"""Source files that are to be read again: one note for each, which any process writes and ingest takes."""

import hashlib
from collections.abc import Iterable
from pathlib import Path
from typing import Final

from core.shared_files import follow, write_shared

FOLLOWED_EVERY_S: Final = 30.0
"""How often ingest looks for what other machines found."""

_FOLDER: Final = "again"


def ask_again(home: Path, names: Iterable[str]) -> None:
    """Note source files that are to be read again, by their names or `EVERYTHING`.

    Raises:
        OSError: the disk failed.
    """
    for name in names:
        write_shared(home / _FOLDER / hashlib.sha256(name.encode()).hexdigest()[:16], name.encode())


def wanted_again(home: Path) -> dict[Path, str]:
    """Return the notes with the names in them.

    Raises:
        OSError: the disk failed.
    """
    folder = home / _FOLDER
    follow(folder, FOLLOWED_EVERY_S)
    return {path: path.read_text() for path in sorted(folder.glob("[!.]*"))} if folder.is_dir() else {}
