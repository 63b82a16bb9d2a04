"""The mark that a replay leaves when its history is written: the schedule waits for it to be stored."""

from pathlib import Path
from typing import Final

HISTORY_MARK: Final = ".history-end"
"""File in the watched folder with the times of the history's scans, a line each, as stored files' names have them."""


def history_is_stored(home: Path, inbox: Path) -> bool:
    """True when ingest has put the history into the live store, so that the first forecast has a whole window."""
    mark = inbox / HISTORY_MARK
    if not mark.exists():
        return False
    stored = {path.stem.rsplit("_", 1)[-1] for path in (home / "scans").rglob("*.nc")}
    return stored.issuperset(mark.read_text().split())
