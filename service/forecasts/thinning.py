"""What is missed least of the forecasts when they take too many bytes: baselines, members, times in between."""

from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Final

from core.cache_room import is_export
from ingest.store.retention import NEEDED, StoredFile
from service.forecasts.catalogue import CatalogueEntry
from service.forecasts.records import inputs_file
from verification.baselines import BASELINES

EVERY_TIME: Final = timedelta(days=1)
"""Age up to which the forecast of every scan stays, as far as the limit of bytes allows."""

HALF_HOUR: Final = timedelta(minutes=30)
EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)


@dataclass(frozen=True)
class WindowForecasts:
    """All forecasts of one window, or some of them, with their files; they are deleted together."""

    at: datetime
    size: int
    entries: tuple[CatalogueEntry, ...]
    files: tuple[StoredFile, ...]


def windows_of(
    found: Mapping[Path, StoredFile],
    entries: Sequence[CatalogueEntry],
    at: Callable[[datetime, datetime | None], datetime],
) -> list[WindowForecasts]:
    """Return the windows of all forecasts; exports count for no size, as they have a limit of their own.

    Args:
        found: files of the folder of forecasts.
        entries: of the catalogue.
        at: returns the time that counts, of a time of creation and that of the data if it counts.
    """
    by_owner: dict[str, list[StoredFile]] = defaultdict(list)
    for file in found.values():
        by_owner[owner_of(file.path)].append(file)
    by_window: dict[tuple[str, str], list[CatalogueEntry]] = defaultdict(list)
    for entry in entries:
        by_window[entry.inputs_sha256, entry.origin].append(entry)
    windows = []
    for together in by_window.values():
        inputs = {inputs_file(entry.path, entry.inputs_sha256) for entry in together}
        files = [file for entry in together for file in by_owner[entry.id]]
        files += [found[path] for path in inputs if path in found]
        made_at, first = max(entry.issued_at for entry in together), together[0]
        time = at(made_at, first.reference_time if first.origin == "scans" else None)
        windows.append(WindowForecasts(time, _own_bytes(files), tuple(together), tuple(files)))
    return windows


def spare_parts(windows: Sequence[WindowForecasts], now: datetime) -> list[WindowForecasts]:
    """Return baselines and ensemble members of windows from scans, some hours old, that have a model's forecast.

    The scores of the baselines stay, and both can be computed again.
    """
    found = []
    for one in windows:
        baselines = tuple(entry for entry in one.entries if entry.model in BASELINES)
        if one.entries[0].origin != "scans" or one.at >= now - NEEDED or len(baselines) == len(one.entries):
            continue
        ids = {entry.id for entry in baselines}
        files = tuple(file for file in one.files if owner_of(file.path) in ids or is_members(file.path))
        if files:
            found.append(replace(one, size=_own_bytes(files), entries=baselines, files=files))
    return found


def between_half_hours(windows: Sequence[WindowForecasts], now: datetime) -> list[WindowForecasts]:
    """Return the windows from scans, older than a day, but the first one of each half hour."""
    old = [one for one in windows if one.entries[0].origin == "scans" and one.at < now - EVERY_TIME]
    first: dict[int, datetime] = {}
    for one in old:
        time = one.entries[0].reference_time
        first[_slot(time)] = min(time, first.get(_slot(time), time))
    return [one for one in old if one.entries[0].reference_time != first[_slot(one.entries[0].reference_time)]]


def is_members(path: Path) -> bool:
    """Return whether the file holds the ensemble members of a forecast."""
    return path.name.endswith(".members.nc")


def owner_of(path: Path) -> str:
    """Return the id of the forecast to which the file belongs."""
    return path.name.split(".")[0]


def _own_bytes(files: Sequence[StoredFile]) -> int:
    return sum(file.size for file in files if not is_export(file.path))


def _slot(time: datetime) -> int:
    return (time - EPOCH) // HALF_HOUR
