"""What a listing said of each file when it was done, kept in a file for the next start."""

import json
import logging
from collections.abc import Set
from pathlib import Path

from core.files import write_bytes_atomically

log = logging.getLogger(__name__)


class Marks:
    """Marks by file name; a file whose mark changes is another file.

    Args:
        path: where they are kept; one that cannot be read is said and begun anew.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._marks = self._read()

    def __contains__(self, name: str) -> bool:
        return name in self._marks

    def get(self, name: str) -> str | None:
        """The mark of a file, None for one that is not done."""
        return self._marks.get(name)

    def set(self, name: str, mark: str) -> None:
        """Note a file as done."""
        self._marks[name] = mark

    def keep(self, names: Set[str]) -> None:
        """Forget all files but these."""
        self._marks = {name: mark for name, mark in self._marks.items() if name in names}

    def write(self) -> None:
        """Write what changed since it was read or written."""
        content = json.dumps(self._marks, sort_keys=True).encode()
        if self._marks and (not self._path.is_file() or self._path.read_bytes() != content):
            write_bytes_atomically(self._path, content)

    def _read(self) -> dict[str, str]:
        try:
            marks = json.loads(self._path.read_bytes())
        except FileNotFoundError:
            return {}
        except (OSError, ValueError) as err:
            log.warning("%s cannot be read (%s): files that went in are taken to be unchanged", self._path, err)
            return {}
        return {str(name): str(mark) for name, mark in marks.items()} if isinstance(marks, dict) else {}
