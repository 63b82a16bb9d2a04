"""The mark that a replay writes when its history is complete; the schedule starts once that is stored."""

from pathlib import Path
from typing import Final

HISTORY_MARK: Final = ".history-end"
"""File in the watched folder with the times of the history's scans, one per line, written as in stored files' names."""


def history_is_stored(home: Path, inbox: Path) -> bool:
    """Return whether the live store has the whole history, so that the first forecast has a full window."""
    mark = inbox / HISTORY_MARK
    if not mark.exists():
        return False
    stored = {path.stem.rsplit("_", 1)[-1] for path in (home / "scans").rglob("*.nc")}
    return stored.issuperset(mark.read_text().split())
